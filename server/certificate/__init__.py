"""Gift card certificates: what stands on one, and a process of their own that draws them.

Knows no card, no database and no wire: it is given words and answers a file.
"""

from server.certificate.model import CONTENT_TYPES, Certificate, Form
from server.certificate.studio import Studio, StudioBusyError, StudioError

__all__ = ["CONTENT_TYPES", "Certificate", "Form", "Studio", "StudioBusyError", "StudioError"]
