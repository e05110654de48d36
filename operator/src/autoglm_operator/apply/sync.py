"""Server-side apply of the desired set, and removal of what is no longer in it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from autoglm_operator.api import names
from autoglm_operator.apply.diff import Difference, differences
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Gone, Waiting
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.errors import ApiError
from autoglm_operator.kube.lease import MayWrite
from autoglm_operator.observe.owner import controller_of
from autoglm_operator.observe.world import ChildRef, child_ref

RETRY_REJECTED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What one synchronisation did.

    Attributes:
        written: objects as the API server returned them.
        deleted: references of objects that were removed.
        rejected: a sentence for each object that the API server refuses, for example for a quota.
    """

    written: tuple[Document, ...] = ()
    deleted: tuple[ChildRef, ...] = ()
    rejected: tuple[str, ...] = ()


class Synchroniser:
    """Applies what differs and nothing else.

    An object is left alone while its hash annotation is the wanted one and no wanted field has drifted. Values that
    the API server writes in another form than we do (`1000m` becomes `1`) are seen in the answer to our own write
    and accepted from then on, so that they are not applied again and again.
    """

    def __init__(self, client: Client, may_write: MayWrite) -> None:
        self._client = client
        self._may_write = may_write
        self._accepted: dict[tuple[str, ChildRef], tuple[str, frozenset[Difference]]] = {}

    def forget(self, namespace: str, name: str) -> None:
        """Drop what is remembered about the children of a deployment that is gone."""
        # A name that begins alike may be another deployment's child: forgetting it costs one write.
        for key in [key for key in self._accepted if key[0] == namespace and key[1][2].startswith(name)]:
            del self._accepted[key]

    async def sync(
        self,
        owner: Document,
        desired: Sequence[Document],
        live: Mapping[ChildRef, Document],
        keep: Collection[ChildRef] = (),
    ) -> Applied:
        """Make the live children equal to `desired`; one that is refused does not keep the others from it.

        Args:
            owner: the object of ours that they belong to.
            desired: the wanted children, in the order they are needed.
            live: the children that the owner controls now.
            keep: children to leave as they are although they are not desired.

        Raises:
            Gone: the owner does not exist any more.
            Waiting: an object of a wanted name exists and is not ours.
            KubeError: the API server failed.
        """
        wanted = {child_ref(child) for child in desired}
        stale = [child for child in desired if not self._is_current(child, live.get(child_ref(child)))]
        missing = [child for child in stale if child_ref(child) not in live]
        if missing:
            live = {**live, **await self._unseen(owner, missing)}
        written, rejected = [], []
        for child in stale:
            try:
                written.append(await self._apply(child, live.get(child_ref(child))))
            except ApiError as error:
                if not error.is_rejected:
                    raise
                what = f"{child['kind']} {child['metadata']['name']}"
                rejected.append(f"the API server refuses {what}: {error.message}")
        wanted.update(keep)
        extra = [ref for ref in live if ref not in wanted and "deletionTimestamp" not in live[ref]["metadata"]]
        for ref in extra:
            self._may_write()
            await self._client.delete(live[ref])
        return Applied(tuple(written), tuple(extra), tuple(rejected))

    def _is_current(self, child: Document, live: Document | None) -> bool:
        if live is None:
            return False
        annotation = (live["metadata"].get("annotations") or {}).get(names.ANNOTATION_HASH)
        if annotation != _hash(child):
            return False
        accepted_hash, accepted = self._accepted.get(_memory_key(child), ("", frozenset()))
        drift = set(differences(child, live))
        return drift <= (accepted if accepted_hash == annotation else frozenset())

    async def _unseen(self, owner: Document, missing: Sequence[Document]) -> dict[ChildRef, Document]:
        """Return the children that exist although we do not see them, such as one whose labels were taken away.

        Raises unless the owner still exists and no foreign object holds a name that we need.
        """
        meta = owner["metadata"]
        still = await self._find(owner)
        if still is None or still["metadata"]["uid"] != meta["uid"]:
            raise Gone(f"{owner['kind']} {meta['namespace']}/{meta['name']}")
        found = await asyncio.gather(*(self._find(child) for child in missing))
        for child, existing in zip(missing, found, strict=True):
            if existing is not None and not controlled_by(existing, meta["uid"]):
                raise Waiting(
                    Reason.NAME_TAKEN,
                    f"{child['kind']} {meta['namespace']}/{child['metadata']['name']} exists and does not belong to "
                    f"this {owner['kind']}: remove or rename it, or give the {owner['kind']} another name",
                    RETRY_REJECTED_SECONDS,
                )
        return {child_ref(child): existing for child, existing in zip(missing, found, strict=True) if existing}

    async def _find(self, obj: Document) -> Document | None:
        meta = obj["metadata"]
        try:
            return await self._client.get(obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"])
        except ApiError as error:
            if error.is_not_found:
                return None
            raise

    async def _apply(self, child: Document, live: Document | None) -> Document:
        self._may_write()
        # Without force where nothing of ours was seen, and by uid where something was: an object of somebody else
        # that took the name since then is a conflict, and the next attempt says so.
        body = child if live is None else _with_uid(child, live["metadata"]["uid"])
        answer = await self._client.apply(body, names.OPERATOR_MANAGER, force=live is not None)
        self._accepted[_memory_key(child)] = (_hash(child), frozenset(differences(child, answer)))
        return answer


def _with_uid(child: Document, uid: str) -> Document:
    return {**child, "metadata": {**child["metadata"], "uid": uid}}


def controlled_by(obj: Document, uid: str) -> bool:
    """Whether the controller of `obj` is the object `uid`."""
    maker = controller_of(obj)
    return maker is not None and maker["uid"] == uid


def _hash(child: Document) -> str:
    return str(child["metadata"]["annotations"][names.ANNOTATION_HASH])


def _memory_key(child: Document) -> tuple[str, ChildRef]:
    return child["metadata"]["namespace"], child_ref(child)
