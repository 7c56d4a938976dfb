"""The one error of this package."""


class SecretsError(Exception):
    """Keys are missing or unfit, or a ciphertext does not open.

    The message is one sentence for the operator and never contains any part of a secret.
    """
