import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import giftcard.v1.AuthorizeGiftCardRequest;
import giftcard.v1.CaptureHoldRequest;
import giftcard.v1.ErrorReason;
import giftcard.v1.GiftCardReference;
import giftcard.v1.GiftCardServiceGrpc;
import giftcard.v1.GiftCardServiceGrpc.GiftCardServiceBlockingStub;
import giftcard.v1.IssueGiftCardRequest;
import giftcard.v1.ListTransactionsRequest;
import giftcard.v1.Money;
import giftcard.v1.RedeemGiftCardRequest;
import giftcard.v1.ReverseTransactionRequest;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.UUID;
import java.util.function.BiFunction;

/** Sells a card, spends from it, holds, captures, takes back, and reads the history. */
public final class QuickStart {
  /** The service never says UNKNOWN: it is Netty's word for a connection that closed under a call. */
  private static final EnumSet<Code> LOST =
      EnumSet.of(Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.UNKNOWN);

  private final GiftCardServiceBlockingStub cards;

  private QuickStart(GiftCardServiceBlockingStub cards) {
    this.cards = cards;
  }

  public static void main(String[] arguments) throws IOException, InterruptedException {
    var channel = Grpc.newChannelBuilder(System.getenv("GIFTCARD_SERVER"), security()).build();
    var headers = new Metadata();
    headers.put(
        Metadata.Key.of("Authorization", Metadata.ASCII_STRING_MARSHALLER),
        "Bearer " + System.getenv("GIFTCARD_TOKEN"));
    var cards =
        GiftCardServiceGrpc.newBlockingStub(channel)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
    try {
      new QuickStart(cards).sellAndSpend();
    } finally {
      channel.shutdownNow().awaitTermination(5, SECONDS);
    }
  }

  private static ChannelCredentials security() throws IOException {
    var file = System.getenv("GIFTCARD_CA_FILE");
    return file == null
        ? InsecureChannelCredentials.create()
        : TlsChannelCredentials.newBuilder().trustManager(new File(file)).build();
  }

  private void sellAndSpend() {
    var issue =
        IssueGiftCardRequest.newBuilder()
            .setProgram("programs/GC")
            .setAmount(usd(5000))
            .setRequestId(newId())
            .build();
    var issued = insist(GiftCardServiceBlockingStub::issueGiftCard, issue).getGiftCard();
    var card = GiftCardReference.newBuilder().setName(issued.getName()).build();
    System.out.println("issued " + shown(issued.getBalance()));

    // The request id is this sale's, for ever: whatever gets lost, the money moves once.
    var sale =
        RedeemGiftCardRequest.newBuilder()
            .setGiftCard(card)
            .setAmount(usd(1250))
            .setRequestId(newId())
            .build();
    var redeemed = insist(GiftCardServiceBlockingStub::redeemGiftCard, sale);
    System.out.println("redeemed " + shown(redeemed.getApprovedAmount()));
    var again = insist(GiftCardServiceBlockingStub::redeemGiftCard, sale);
    System.out.printf(
        "sent again, replayed %b, balance %s%n",
        again.getReplayed(), shown(again.getGiftCard().getBalance()));

    var tooMuch = sale.toBuilder().setAmount(usd(9900)).setRequestId(newId()).build();
    try {
      insist(GiftCardServiceBlockingStub::redeemGiftCard, tooMuch);
    } catch (StatusRuntimeException error) {
      var refusal = refusalOf(error);
      if (!refusal.getReason().equals(ErrorReason.INSUFFICIENT_FUNDS.name())) {
        throw error;
      }
      System.out.printf(
          "refused %s, available %s%n",
          refusal.getReason(), refusal.getMetadataOrThrow("available_minor_units"));
    }

    var authorize =
        AuthorizeGiftCardRequest.newBuilder()
            .setGiftCard(card)
            .setAmount(usd(2000))
            .setRequestId(newId())
            .build();
    var held = insist(GiftCardServiceBlockingStub::authorizeGiftCard, authorize);
    System.out.println("held " + shown(held.getApprovedAmount()));
    var capture =
        CaptureHoldRequest.newBuilder()
            .setName(held.getHold().getName())
            .setAmount(usd(1500))
            .setFinal(true)
            .setRequestId(newId())
            .build();
    var captured = insist(GiftCardServiceBlockingStub::captureHold, capture);
    System.out.println("captured " + shown(captured.getCapturedAmount()));

    var reverse =
        ReverseTransactionRequest.newBuilder()
            .setOriginalRequestId(sale.getRequestId())
            .setRequestId(newId())
            .build();
    var reversed = insist(GiftCardServiceBlockingStub::reverseTransaction, reverse);
    System.out.println("reversed, balance " + shown(reversed.getGiftCards(0).getBalance()));

    printHistory(issued.getName());
  }

  private void printHistory(String card) {
    var kinds = new ArrayList<String>();
    var request = ListTransactionsRequest.newBuilder().setGiftCard(card).setPageSize(4);
    do {
      var page = insist(GiftCardServiceBlockingStub::listTransactions, request.build());
      page.getTransactionsList().forEach(each -> kinds.add(each.getKind().name()));
      request.setPageToken(page.getNextPageToken());
    } while (!request.getPageToken().isEmpty());
    System.out.println("history " + String.join(" ", kinds));
  }

  /** Calls until there is an answer. The request id stays the same, so the money moves once. */
  private <Q, A> A insist(BiFunction<GiftCardServiceBlockingStub, Q, A> method, Q request) {
    for (long pauseMillis = 100; ; pauseMillis *= 2) {
      try {
        return method.apply(cards.withDeadlineAfter(5, SECONDS), request);
      } catch (StatusRuntimeException error) {
        if (pauseMillis > 2_000 || !LOST.contains(error.getStatus().getCode())) {
          throw error;
        }
      }
      pause(pauseMillis);
    }
  }

  private static void pause(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted before the answer was known", error);
    }
  }

  /** Why the service refused, and the facts that go with it. */
  private static ErrorInfo refusalOf(StatusRuntimeException error) {
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        try {
          return detail.unpack(ErrorInfo.class);
        } catch (InvalidProtocolBufferException malformed) {
          error.addSuppressed(malformed);
        }
      }
    }
    throw error;
  }

  private static Money usd(long minorUnits) {
    return Money.newBuilder().setMinorUnits(minorUnits).setCurrencyCode("USD").build();
  }

  private static String shown(Money money) {
    return money.getMinorUnits() + " " + money.getCurrencyCode();
  }

  private static String newId() {
    return UUID.randomUUID().toString();
  }
}
