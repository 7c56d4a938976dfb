"""One request that is in order for every method of the contract; what it names is there."""

from typing import Final

from giftcard import v1
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from tests.rpc.edge_stage import Stage, usd

CODE: Final = "ANY-FIELD-1"


def good_requests(stage: Stage) -> dict[str, Message]:
    """By method name, for the client "own" ("platform" where a merchant is made or listed).

    Those that write lack a request id.  To be asked for once for each stage.
    """
    card = stage.issue(100_000, code=CODE)
    reference = v1.GiftCardReference(code=CODE)
    other = v1.GiftCardReference(name=stage.issue(1).name)
    hold = stage.answer(v1.AuthorizeGiftCardRequest(gift_card=reference, amount=usd(50_000))).hold
    sale = stage.answer(v1.RedeemGiftCardRequest(gift_card=reference, amount=usd(1000)))
    parent = "merchants/own"
    client = f"{parent}/apiClients/any"
    stage.answer(
        v1.CreateApiClientRequest(
            parent=parent, api_client_id="any", api_client=v1.ApiClient(scopes=[v1.ApiClient.READ])
        )
    )
    token = stage.answer(
        v1.CreateCredentialRequest(
            parent=client, credential=v1.Credential(kind=v1.Credential.TOKEN)
        )
    )
    customer = "customers/any"
    stage.answer(v1.CreateCustomerRequest(customer_id="any"))
    stage.answer(v1.EarnPointsRequest(customer=customer, points=1000))
    reserved = stage.answer(v1.ReserveCodesRequest(program="programs/GC", agency="a", count=2))
    context = v1.CallContext(location="locations/shop", reason="why")
    place = v1.Location(country_code="AT", time_zone="UTC")
    program = v1.Program(currency_code="USD", min_amount=usd(1))
    mask = FieldMask(paths=["display_name"])
    requests: tuple[Message, ...] = (
        v1.CreateGiftCardRequest(program="programs/GC", context=context),
        v1.ActivateGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.IssueGiftCardRequest(program="programs/GC", amount=usd(1), context=context),
        v1.GetGiftCardRequest(name=card.name),
        v1.LookupGiftCardRequest(gift_card=reference),
        v1.ListGiftCardsRequest(),
        v1.UpdateGiftCardRequest(
            gift_card=v1.GiftCard(name=card.name, batch="b"),
            update_mask=FieldMask(paths=["batch"]), context=context,
        ),
        v1.LoadGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.RedeemGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.RedeemGiftCardsRequest(gift_cards=[reference], amount=usd(1), context=context),
        v1.RefundGiftCardRequest(
            transaction=sale.transaction.name, amount=usd(1), context=context
        ),
        v1.AuthorizeGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.CaptureHoldRequest(name=hold.name, amount=usd(1), context=context),
        v1.VoidHoldRequest(name=f"holds/{'0' * 32}", context=context),
        v1.GetHoldRequest(name=hold.name),
        v1.ListHoldsRequest(),
        v1.ReverseTransactionRequest(original_request_id="never sent", context=context),
        v1.LookupTransactionRequest(context=context),
        v1.GetTransactionRequest(name=sale.transaction.name),
        v1.ListTransactionsRequest(),
        v1.LockGiftCardRequest(gift_card=other, context=context),
        v1.UnlockGiftCardRequest(gift_card=other, context=context),
        v1.CloseGiftCardRequest(gift_card=other, context=context),
        v1.TransferBalanceRequest(source=reference, target=other, amount=usd(1), context=context),
        v1.AdjustGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.ReserveCodesRequest(
            program="programs/GC", agency="a", code_format=v1.Program.CodeFormat(prefix="A-"),
            context=context,
        ),
        v1.ReleaseCodesRequest(codes=list(reserved.codes), context=context),
        v1.RenderCertificateRequest(gift_card=reference, format=v1.RenderCertificateRequest.PDF),
        v1.CreateCustomerRequest(
            customer_id="new", customer=v1.Customer(labels={"k": "v"}), context=context
        ),
        v1.GetCustomerRequest(name=customer),
        v1.ListCustomersRequest(),
        v1.UpdateCustomerRequest(
            customer=v1.Customer(name=customer, external_reference="e"),
            update_mask=FieldMask(paths=["external_reference"]), context=context,
        ),
        v1.EarnPointsRequest(customer=customer, points=1, context=context),
        v1.AdjustPointsRequest(customer=customer, points=1, context=context),
        v1.AuthorizePointsRequest(customer=customer, points=1, context=context),
        v1.CreateProgramRequest(program_id="new", program=program, context=context),
        v1.GetProgramRequest(name="programs/GC"),
        v1.ListProgramsRequest(),
        v1.UpdateProgramRequest(
            program=v1.Program(name="programs/EURO", display_name="e"), context=context
        ),
        v1.CreateLocationRequest(location_id="new", location=place, context=context),
        v1.GetLocationRequest(name="locations/shop"),
        v1.ListLocationsRequest(),
        v1.UpdateLocationRequest(
            location=v1.Location(name="locations/shop", display_name="s"), context=context
        ),
        v1.CreateMerchantRequest(
            merchant_id="new", merchant=v1.Merchant(display_name="n", time_zone="UTC")
        ),
        v1.GetMerchantRequest(name=parent),
        v1.ListMerchantsRequest(),
        v1.CreateApiClientRequest(
            parent=parent, api_client_id="new",
            api_client=v1.ApiClient(scopes=[v1.ApiClient.READ]), context=context,
        ),
        v1.GetApiClientRequest(name=client),
        v1.ListApiClientsRequest(parent=parent),
        v1.UpdateApiClientRequest(
            api_client=v1.ApiClient(name=client, display_name="a"), update_mask=mask,
            context=context,
        ),
        v1.CreateCredentialRequest(
            parent=client, context=context,
            credential=v1.Credential(kind=v1.Credential.PASSWORD, login="l"),
            password="a password",
        ),
        v1.ListCredentialsRequest(parent=client),
        v1.RevokeCredentialRequest(name=f"{client}/credentials/none", context=context),
        v1.RotateCredentialRequest(name=token.name, context=context),
    )  # fmt: skip
    return {each.DESCRIPTOR.name.removesuffix("Request"): each for each in requests}
