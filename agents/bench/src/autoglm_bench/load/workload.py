"""What the requests ask: sessions of one or more turns, and the JSON of each request. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Final, Protocol

from autoglm_bench.load.arrivals import Shape
from autoglm_bench.load.lengths import Lengths, fixed
from autoglm_bench.load.screenshot import Screenshots, Size
from autoglm_bench.load.text import text
from autoglm_bench.load.traces import MOONCAKE_BLOCK

#: An image of the GLM vision models is its pixels / 784 tokens.
_PIXELS_OF_TOKEN: Final = 784
_APPS: Final = ("Settings", "Maps", "Mail", "Calendar", "Shop", "Messages", "Camera", "Music")


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a session.

    Attributes:
        prompt_tokens: about how long its new text is.
        output_tokens: length of its answer.
        reusable_tokens: about how much of its prompt the engine has seen before, from earlier turns or sessions.
        think: seconds between the end of the answer before and its sending.
    """

    prompt_tokens: int
    output_tokens: int
    reusable_tokens: int = 0
    think: float = 0.0


@dataclass(frozen=True, slots=True)
class Session:
    """Requests of one user: each is sent after the answer to the one before.

    Attributes:
        number: position in the order of the sessions, from 0.
        steps: its requests, at least one.
        id: name of the line of the user's own file; empty if it was made.
        blocks: ids of the blocks that the prompt begins with, from a trace.
    """

    number: int
    steps: tuple[Step, ...]
    id: str = ""
    blocks: tuple[int, ...] = ()

    def canonical(self) -> str:
        """Return what the hash of the sequence is made of."""
        steps = " ".join(f"{step.prompt_tokens},{step.output_tokens},{step.think:.6f}" for step in self.steps)
        return f"{self.number} {self.id} {','.join(map(str, self.blocks))} {steps}"


class Workload(Protocol):
    """Makes sessions and the bodies of their requests; the same for the same seed.

    Attributes:
        keeps_text: answers are needed: for later requests, or for a judgement.
        expects_actions: answers have to hold an action of the phone agent.
    """

    keeps_text: bool
    expects_actions: bool

    def session(self, number: int, shape: Shape | None = None) -> Session:
        """Return session `number`; a trace may say its lengths."""

    def body(self, model: str, session: Session, step: int, answers: Sequence[str]) -> bytes:
        """Return the JSON of one request, given the answers to the earlier ones of its session."""

    def document(self) -> dict[str, Any]:
        """Return what the result says of the workload."""


@dataclass(frozen=True, slots=True)
class Made:
    """Settings of a workload whose text is made.

    Attributes:
        name: `text` or `phone-agent`.
        prompt_tokens: new text of each request.
        output_tokens: answers.
        turns: requests of a session.
        think_seconds: mean time between an answer and the next request of its session.
        prefix_tokens: length of a system prompt that sessions share; 0 for none.
        prefixes: number of different system prompts.
        image: size of the screenshot in each request; `None` for none.
        natural_end: the model ends its answers, at the latest after `output_tokens`.
        sampling: further fields of each request.
    """

    name: str = "text"
    prompt_tokens: Lengths = fixed(512)  # noqa: RUF009  frozen
    output_tokens: Lengths = fixed(64)  # noqa: RUF009  frozen
    turns: Lengths = fixed(1)  # noqa: RUF009  frozen
    think_seconds: float = 0.0
    prefix_tokens: int = 0
    prefixes: int = 1
    image: Size | None = None
    natural_end: bool = False
    sampling: Mapping[str, float] | None = None


#: The loop of Open-AutoGLM's phone agent: a long system prompt, one screenshot for each step, the pictures of earlier
#: steps taken out, and its sampling parameters. Steps, answers and pauses are invented: nobody has published them.
PHONE_AGENT: Final = Made(
    name="phone-agent",
    prompt_tokens=Lengths("lognormal", (80.0, 0.5)),
    output_tokens=Lengths("lognormal", (120.0, 0.5)),
    turns=Lengths("uniform", (3.0, 12.0)),
    think_seconds=2.0,
    prefix_tokens=2500,
    image=Size(1080, 2400),
    sampling={"temperature": 0.0, "top_p": 0.85, "frequency_penalty": 0.2},
)


class MadeWorkload:
    """A workload whose text is made.

    Args:
        made: its settings.
        seed: the same seed makes the same requests.
    """

    def __init__(self, made: Made, seed: int) -> None:
        self._made = made
        self._seed = seed
        self._screens = Screenshots(made.image, seed) if made.image else None
        self._text = lru_cache(maxsize=4096)(text)
        self.expects_actions = made.name == PHONE_AGENT.name and made.natural_end
        self.keeps_text = made.turns != fixed(1) or self.expects_actions

    def session(self, number: int, shape: Shape | None = None) -> Session:
        """Return session `number`; a trace may say its lengths."""
        made = self._made
        rng = Random(f"session/{self._seed}/{number}")
        turns = made.turns.draw(rng)
        blocks = shape.blocks if shape else ()
        steps: list[Step] = []
        # The first session with a system prompt finds nothing of it in the engine's cache.
        seen = made.prefix_tokens if number >= made.prefixes else 0
        for turn in range(turns):
            if shape is None:
                prompt, output = made.prompt_tokens.draw(rng), made.output_tokens.draw(rng)
            else:
                prompt, output, seen = shape.prompt_tokens, shape.output_tokens, seen + shape.shared_tokens
            think = rng.expovariate(1 / made.think_seconds) if turn and made.think_seconds else 0.0
            steps.append(Step(prompt, output, seen, think))
            seen = (made.prefix_tokens if turn == 0 else seen) + prompt + output
            shape = None
        return Session(number, tuple(steps), blocks=blocks)

    def body(self, model: str, session: Session, step: int, answers: Sequence[str]) -> bytes:
        """Return the JSON of one request, given the answers to the earlier ones of its session."""
        made = self._made
        messages: list[dict[str, Any]] = []
        if made.prefix_tokens:
            prefix = self._text(made.prefix_tokens, f"prefix/{self._seed}/{session.number % made.prefixes}")
            messages.append({"role": "system", "content": prefix})
        for turn, answer in enumerate(answers[:step]):
            messages.append({"role": "user", "content": self._words(session, turn)})
            messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": self._content(session, step)})
        return request(model, messages, session.steps[step].output_tokens, made.natural_end, made.sampling)

    def _content(self, session: Session, step: int) -> str | list[dict[str, Any]]:
        words = self._words(session, step)
        if self._screens is None:
            return words
        # A step has a number of its own, so that no two requests carry the same picture.
        url = self._screens.data_url(session.number * 1000 + step)
        return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": words}]

    def _words(self, session: Session, step: int) -> str:
        key = f"prompt/{self._seed}/{session.number}/{step}"
        tokens = session.steps[step].prompt_tokens
        if session.blocks:
            blocks = " ".join(self._text(MOONCAKE_BLOCK, f"block/{block}") for block in session.blocks)
            rest = tokens - MOONCAKE_BLOCK * len(session.blocks)
            # The last block of a trace is seldom full; it stands for the end of the prompt alone.
            return f"{blocks} {text(rest, key)}" if rest > 0 else " ".join(blocks.split()[:tokens])
        if self._made.name != PHONE_AGENT.name:
            return text(tokens, key)
        app = Random(key).choice(_APPS)
        return f'{text(tokens, key)}\n\n** Screen Info **\n\n{{"current_app": "{app}"}}'

    def document(self) -> dict[str, Any]:
        """Return what the result says of the workload."""
        made = self._made
        return {
            "name": made.name,
            "promptTokens": str(made.prompt_tokens),
            "outputTokens": str(made.output_tokens),
            "turns": str(made.turns),
            "thinkSeconds": made.think_seconds,
            "prefixTokens": made.prefix_tokens,
            "prefixes": made.prefixes,
            "image": str(made.image) if made.image else None,
            "imageTokens": made.image.width * made.image.height // _PIXELS_OF_TOKEN if made.image else 0,
            "naturalEnd": made.natural_end,
            "sampling": dict(made.sampling or {}),
        }


def request(
    model: str,
    messages: Sequence[Mapping[str, Any]],
    output_tokens: int,
    natural_end: bool,
    sampling: Mapping[str, float] | None = None,
) -> bytes:
    """Return the JSON of a streaming chat request with usage numbers."""
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "max_tokens": output_tokens,
        "temperature": 0.0,
        **(sampling or {}),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if not natural_end:
        # The load must not depend on what the model makes of random words. vLLM and SGLang know this field.
        body["ignore_eos"] = True
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
