"""What ResourceQuotas leave for each deployment, as the API server tells of them.

Nothing is reserved. Two deployments that both see room for one replica more may both order it; the API server creates
the pods of one of them, and refuses those of the other. The other's room is then what it has: within half a minute its
order is back to that, with a limit that says so, and it grows again when there is room. Pods that were refused do not
exist, so they are no reason to order more.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Final

from autoglm_operator.autoscaler.pods import Key
from autoglm_operator.decide.scaling.quota import Footprint, Quota, QuotaRoom, room_of
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.reflector import Reflector

#: Seconds for which the most room seen counts. Pods and quotas come by two streams: one that is a moment ahead of the
#: other would make a replica that was just ordered look like one too many.
SETTLE_SECONDS: Final = 30.0


class Quotas:
    """Follows the ResourceQuotas that count pods or devices.

    Where they may not be read nothing is known of them, and they bound nothing here: the API server holds pods back
    all the same.

    Attributes:
        reflector: to be run as a task; nobody has to wait for it.
    """

    def __init__(self, client: Client, namespaces: Iterable[str]) -> None:
        self._quotas: dict[str, dict[str, Quota]] = defaultdict(dict)
        self._rooms: dict[Key, deque[tuple[float, QuotaRoom]]] = {}
        self.reflector = Reflector(
            client, "v1", "ResourceQuota", tuple(namespaces), keep=Quota.keep, on_change=self._changed
        )

    def room(self, key: Key, footprint: Footprint, present: int, now: float) -> QuotaRoom | None:
        """Return what the quotas of its namespace allow a deployment; `None` if none of them counts its replicas.

        Args:
            key: of the deployment.
            footprint: of one replica.
            present: replicas whose pods are there, and not on their way out.
            now: monotonic time.
        """
        quotas = self._quotas.get(key[0])
        room = room_of(quotas.values(), footprint, present) if quotas else None
        if room is None:
            self._rooms.pop(key, None)
            return None
        rooms = self._rooms.setdefault(key, deque())
        while rooms and rooms[-1][1].replicas <= room.replicas:
            rooms.pop()
        rooms.append((now, room))
        while rooms[0][0] < now - SETTLE_SECONDS:
            rooms.popleft()
        return rooms[0][1]

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone."""
        self._rooms.pop(key, None)

    def _changed(self, key: Key, _: Quota | None, new: Quota | None) -> None:
        namespace, name = key
        if new is not None:
            self._quotas[namespace][name] = new
            return
        self._quotas[namespace].pop(name, None)
        if not self._quotas[namespace]:
            del self._quotas[namespace]
