"""The two writes of a report: a status, and an event."""

import logging

from autoglm_operator.api import names
from autoglm_operator.errors import Gone
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.errors import ApiError, KubeError
from autoglm_operator.kube.lease import MayWrite

logger = logging.getLogger(__name__)


async def write_status(client: Client, may_write: MayWrite, document: Document) -> Document:
    """Apply the operator's part of a status, and return the object as it is then.

    Args:
        client: of the API server.
        may_write: raises in a process that may no longer write.
        document: the object, with the status alone.

    Raises:
        Gone: the object does not exist any more.
    """
    may_write()
    try:
        return await client.apply(document, names.OPERATOR_MANAGER, "status")
    except ApiError as error:
        if error.is_not_found:
            meta = document["metadata"]
            raise Gone(f"{document['kind']} {meta['namespace']}/{meta['name']}") from error
        raise


async def post_event(client: Client, may_write: MayWrite, event: Document) -> None:
    """Post an event, at most once; the condition says the same and is what counts."""
    may_write()
    try:
        await client.create(event)
    except KubeError as error:
        logger.warning("event not posted", extra={"reason": event["reason"], "error": str(error)})
