// Command quickstart sells a card, spends from it, holds, captures, takes back, and reads the
// history.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	giftcard "quickstart/gen/giftcard/v1"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	security := insecure.NewCredentials()
	if file := os.Getenv("GIFTCARD_CA_FILE"); file != "" {
		var err error
		if security, err = credentials.NewClientTLSFromFile(file, ""); err != nil {
			return err
		}
	}
	connection, err := grpc.NewClient(
		os.Getenv("GIFTCARD_SERVER"), grpc.WithTransportCredentials(security))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx = metadata.AppendToOutgoingContext(
		ctx, "authorization", "Bearer "+os.Getenv("GIFTCARD_TOKEN"))
	return sellAndSpend(ctx, giftcard.NewGiftCardServiceClient(connection))
}

func sellAndSpend(ctx context.Context, cards giftcard.GiftCardServiceClient) error {
	issued, err := insist(ctx, cards.IssueGiftCard, &giftcard.IssueGiftCardRequest{
		Program:   "programs/GC",
		Amount:    usd(5000),
		RequestId: rand.Text(),
	})
	if err != nil {
		return err
	}
	name := issued.GetGiftCard().GetName()
	card := &giftcard.GiftCardReference{Reference: &giftcard.GiftCardReference_Name{Name: name}}
	fmt.Println("issued", shown(issued.GetGiftCard().GetBalance()))

	// The request id is this sale's, for ever: whatever gets lost, the money moves once.
	sale := &giftcard.RedeemGiftCardRequest{
		GiftCard:  card,
		Amount:    usd(1250),
		RequestId: rand.Text(),
	}
	redeemed, err := insist(ctx, cards.RedeemGiftCard, sale)
	if err != nil {
		return err
	}
	fmt.Println("redeemed", shown(redeemed.GetApprovedAmount()))
	again, err := insist(ctx, cards.RedeemGiftCard, sale)
	if err != nil {
		return err
	}
	fmt.Printf("sent again, replayed %t, balance %s\n",
		again.GetReplayed(), shown(again.GetGiftCard().GetBalance()))

	_, err = insist(ctx, cards.RedeemGiftCard, &giftcard.RedeemGiftCardRequest{
		GiftCard:  card,
		Amount:    usd(9900),
		RequestId: rand.Text(),
	})
	refusal := refusalOf(err)
	if refusal.GetReason() != giftcard.ErrorReason_INSUFFICIENT_FUNDS.String() {
		return fmt.Errorf("a redemption of 99.00 USD was not refused for its amount: %w", err)
	}
	fmt.Printf("refused %s, available %s\n",
		refusal.GetReason(), refusal.GetMetadata()["available_minor_units"])

	held, err := insist(ctx, cards.AuthorizeGiftCard, &giftcard.AuthorizeGiftCardRequest{
		GiftCard:  card,
		Extent:    &giftcard.AuthorizeGiftCardRequest_Amount{Amount: usd(2000)},
		RequestId: rand.Text(),
	})
	if err != nil {
		return err
	}
	fmt.Println("held", shown(held.GetApprovedAmount()))
	captured, err := insist(ctx, cards.CaptureHold, &giftcard.CaptureHoldRequest{
		Name:      held.GetHold().GetName(),
		Amount:    usd(1500),
		Final:     true,
		RequestId: rand.Text(),
	})
	if err != nil {
		return err
	}
	fmt.Println("captured", shown(captured.GetCapturedAmount()))

	reversed, err := insist(ctx, cards.ReverseTransaction, &giftcard.ReverseTransactionRequest{
		Original: &giftcard.ReverseTransactionRequest_OriginalRequestId{
			OriginalRequestId: sale.GetRequestId(),
		},
		RequestId: rand.Text(),
	})
	if err != nil {
		return err
	}
	fmt.Println("reversed, balance", shown(reversed.GetGiftCards()[0].GetBalance()))

	return printHistory(ctx, cards, name)
}

func printHistory(ctx context.Context, cards giftcard.GiftCardServiceClient, card string) error {
	var kinds []string
	request := &giftcard.ListTransactionsRequest{GiftCard: card, PageSize: 4}
	for {
		page, err := insist(ctx, cards.ListTransactions, request)
		if err != nil {
			return err
		}
		for _, each := range page.GetTransactions() {
			kinds = append(kinds, each.GetKind().String())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	fmt.Println("history", strings.Join(kinds, " "))
	return nil
}

// insist calls until there is an answer. The request id stays the same, so the money moves once.
func insist[Request, Answer any](
	ctx context.Context,
	method func(context.Context, *Request, ...grpc.CallOption) (*Answer, error),
	request *Request,
) (*Answer, error) {
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		answer, err := method(attempt, request)
		cancel()
		lost := status.Code(err) == codes.Unavailable || status.Code(err) == codes.DeadlineExceeded
		if !lost || pause > 2*time.Second || ctx.Err() != nil {
			return answer, err
		}
		time.Sleep(pause)
	}
}

// refusalOf returns why the service refused, with the facts that go with it, or nil.
func refusalOf(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

func usd(minorUnits int64) *giftcard.Money {
	return &giftcard.Money{MinorUnits: minorUnits, CurrencyCode: "USD"}
}

func shown(money *giftcard.Money) string {
	return fmt.Sprintf("%d %s", money.GetMinorUnits(), money.GetCurrencyCode())
}
