"""What a reconcile asks for beside the caches: logs of engines, and the config.json of a model."""

from dataclasses import dataclass, replace

from autoglm_operator.api.v1alpha1 import EngineType, Spec
from autoglm_operator.decide.fit import Missing, architecture_of
from autoglm_operator.decide.start.coldstart import observed_until
from autoglm_operator.kube.reflector import Key
from autoglm_operator.observe.engine_log import EngineLogs
from autoglm_operator.observe.fetch import config_told
from autoglm_operator.observe.model_config import Answer, ModelConfigs
from autoglm_operator.observe.world import Observed


@dataclass(frozen=True, slots=True)
class Lookups:
    """Completes what was observed; each lookup is made once, and one that is turned off leaves its place empty.

    Attributes:
        logs: reads engines' logs; `None` if that is not allowed.
        configs: reads models' config.json; `None` if that is not allowed.
    """

    logs: EngineLogs | None = None
    configs: ModelConfigs | None = None

    async def complete(self, key: Key, observed: Observed) -> Observed:
        """Return `observed` with what was looked up."""
        if self.logs is not None:
            since = observed_until(observed.deployment.status.get("coldStart"))
            observed = replace(observed, logs=await self.logs.read(key, observed.pods, since=since))
        return replace(observed, model_config=await self._config(observed))

    async def _config(self, observed: Observed) -> Answer | None:
        spec = observed.deployment.spec
        if spec is None:
            return None
        if (told := config_told(observed.fetch_pods.values())) is not None:
            return told
        if self.configs is None or not _worth_asking(spec):
            return None
        return await self.configs.read(spec.model)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a deployment that is gone."""
        if self.logs is not None:
            self.logs.forget(key)


def _worth_asking(spec: Spec) -> bool:
    """Whether a hub should be asked: about a model that is not known, and never an address that a user has written."""
    real = spec.engine.type is not EngineType.SIMULATOR
    return real and spec.model.hub_endpoint is None and isinstance(architecture_of(spec), Missing)
