"""Deployments and engine pods as the API server tells of them."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from autoglm_operator.api import names
from autoglm_operator.autoscaler.pods import EnginePod, Key, Target
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.reflector import Reflector


class Cluster:
    """Local copies, and the pods of each deployment.

    Attributes:
        targets: deployments by (namespace, name).
        reflectors: to be run as tasks.
    """

    def __init__(self, client: Client, namespaces: Iterable[str]) -> None:
        scopes = tuple(namespaces)
        self._pods: dict[Key, dict[str, EnginePod]] = defaultdict(dict)
        self._pod_gone: Callable[[str], None] = _ignore
        self._target_gone: Callable[[Key], None] = _ignore
        targets = Reflector(
            client, names.API_VERSION, names.KIND, scopes, keep=Target.keep, on_change=self._target_changed
        )
        pods = Reflector(
            client,
            "v1",
            "Pod",
            scopes,
            label_selector=f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_DEPLOYMENT}",
            keep=EnginePod.keep,
            on_change=self._pod_changed,
        )
        self.targets: dict[Key, Target] = targets.items
        self.reflectors = (targets, pods)

    @property
    def synced(self) -> bool:
        """Whether everything has been listed once."""
        return all(reflector.synced for reflector in self.reflectors)

    def silence_seconds(self) -> float:
        """Return the longest time that a stream has been silent."""
        return max(reflector.silence_seconds() for reflector in self.reflectors)

    def pods_of(self, key: Key) -> list[EnginePod]:
        """Return the pods of a deployment, those on their way out excepted."""
        return list(self._pods.get(key, {}).values())

    def on_pod_gone(self, call: Callable[[str], None]) -> None:
        """Call `call` with the uid of each pod that goes."""
        self._pod_gone = call

    def on_target_gone(self, call: Callable[[Key], None]) -> None:
        """Call `call` with the key of each deployment that goes, also if another takes its name at once."""
        self._target_gone = call

    def _pod_changed(self, key: Key, old: EnginePod | None, new: EnginePod | None) -> None:
        if old is not None:
            owner = (key[0], old.deployment)
            self._pods[owner].pop(old.uid, None)
            if not self._pods[owner]:
                del self._pods[owner]
            if new is None or new.uid != old.uid:
                self._pod_gone(old.uid)
        if new is not None:
            self._pods[(key[0], new.deployment)][new.uid] = new

    def _target_changed(self, key: Key, old: Target | None, new: Target | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._target_gone(key)


def _ignore(_: object) -> None:
    """Do nothing: nobody has asked yet."""
