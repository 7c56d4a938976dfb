package main

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of the contract, proto/giftcard/v1.
const (
	fieldGiftCard   = 1 // RedeemGiftCardRequest and LookupGiftCardRequest
	fieldAmount     = 2 // RedeemGiftCardRequest
	fieldRequestID  = 5 // RedeemGiftCardRequest
	fieldCode       = 2 // GiftCardReference
	fieldMinorUnits = 1 // Money
	fieldCurrency   = 2 // Money
)

// maker makes request messages; each worker has its own, so that none waits for a lock.
type maker struct {
	redeem bool
	cards  int
	random *rand.Rand
}

func newMaker(kind string, cards int) (*maker, error) {
	if kind != "redeem" && kind != "lookup" {
		return nil, fmt.Errorf("unknown kind of request %q", kind)
	}
	return &maker{
		redeem: kind == "redeem",
		cards:  cards,
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}, nil
}

// next returns a request for a card drawn uniformly, under a request id never used before.
func (m *maker) next() []byte {
	code := fmt.Appendf(nil, "GC%014d", m.random.IntN(m.cards))
	reference := appendField(nil, fieldCode, code)
	message := appendField(make([]byte, 0, 128), fieldGiftCard, reference)
	if !m.redeem {
		return message
	}
	amount := protowire.AppendTag(nil, fieldMinorUnits, protowire.VarintType)
	amount = protowire.AppendVarint(amount, 5)
	amount = appendField(amount, fieldCurrency, []byte("USD"))
	message = appendField(message, fieldAmount, amount)
	return appendField(message, fieldRequestID, m.requestID())
}

// requestID has the length of a UUID, which is what the contract recommends.
func (m *maker) requestID() []byte {
	var raw [18]byte
	for index := range raw {
		raw[index] = byte(m.random.UintN(256))
	}
	return hex.AppendEncode(nil, raw[:])
}

func appendField(message []byte, number protowire.Number, value []byte) []byte {
	message = protowire.AppendTag(message, number, protowire.BytesType)
	return protowire.AppendBytes(message, value)
}
