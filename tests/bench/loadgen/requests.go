package main

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

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

// kindRetail7 is a redemption as a till sends it that speaks RETAIL7.
const kindRetail7 = "retail7"

// maker makes request messages; each worker has its own, so that none waits for a lock.
type maker struct {
	kind   string
	cards  int
	random *rand.Rand
}

func newMaker(kind string, cards int) (*maker, error) {
	if kind != "redeem" && kind != "lookup" && kind != kindRetail7 {
		return nil, fmt.Errorf("unknown kind of request %q", kind)
	}
	return &maker{
		kind:   kind,
		cards:  cards,
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}, nil
}

// next returns a request for a card drawn uniformly, under a request id never used before.
func (m *maker) next() []byte {
	code := fmt.Appendf(nil, "GC%014d", m.random.IntN(m.cards))
	if m.kind == kindRetail7 {
		return m.retail7(code)
	}
	reference := appendField(nil, fieldCode, code)
	message := appendField(make([]byte, 0, 128), fieldGiftCard, reference)
	if m.kind == "lookup" {
		return message
	}
	amount := protowire.AppendTag(nil, fieldMinorUnits, protowire.VarintType)
	amount = protowire.AppendVarint(amount, 5)
	amount = appendField(amount, fieldCurrency, []byte("USD"))
	message = appendField(message, fieldAmount, amount)
	return appendField(message, fieldRequestID, m.requestID())
}

func (m *maker) retail7(code []byte) []byte {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	return fmt.Appendf(nil, `{"requestIDExternal":"%s","timestamp":"%s","trainingFlag":false,`+
		`"operationType":"REDEEM","cardID":"%s","amount":0.05,"currencyCode":"USD",`+
		`"clientStore":"1001","clientCountry":"US","clientID":"1001",`+
		`"clientTrx":"1001201910311001000004"}`, m.requestID(), now, code)
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
