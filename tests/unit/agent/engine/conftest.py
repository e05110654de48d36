"""An engine's HTTP side on a real socket, and its metrics as text."""

import socket
import threading

import pytest


class Server:
    """A real socket server that answers every connection with one function of connection, stop event and path."""

    def __init__(self, answer):
        self.stopped = threading.Event()
        self.answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.paths = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    path = connection.recv(4096).split()[1].decode()
                    self.paths.append(path)
                    self.answer(connection, self.stopped, path)
                except (OSError, IndexError):
                    pass

    def close(self):
        self.stopped.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def serve():
    servers = []

    def start(answer):
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def _response(body, status="200 OK"):
    if isinstance(body, str):
        body = body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def response():
    return _response


def _histogram(name, labels, counts, total):
    lines = [f'{name}_bucket{{le="{bound}",{labels}}} {count}' for bound, count in counts.items()]
    return [*lines, f"{name}_count{{{labels}}} {list(counts.values())[-1]}", f"{name}_sum{{{labels}}} {total}"]


def _vllm(  # the shape of vLLM 0.33.0's own exposition
    running=2.0, waiting=1.0, kv=0.25, prompt=1000.0, generated=500.0, finished=10.0, itl=500.0, engine="0", more=()
):
    labels = f'engine="{engine}",model_name="m"'
    return "\n".join(
        [
            "# HELP vllm:num_requests_running Number of requests in model execution batches.",
            "# TYPE vllm:num_requests_running gauge",
            f"vllm:num_requests_running{{{labels}}} {running}",
            f"vllm:num_requests_waiting{{{labels}}} {waiting}",
            f"vllm:kv_cache_usage_perc{{{labels}}} {kv}",
            f"vllm:prompt_tokens_total{{{labels}}} {prompt}",
            f"vllm:generation_tokens_total{{{labels}}} {generated}",
            f'vllm:request_success_total{{{labels},finished_reason="stop"}} {finished}',
            f'vllm:request_success_total{{{labels},finished_reason="abort"}} 0.0',
            f"vllm:num_preemptions_total{{{labels}}} 3.0",
            f"vllm:prefix_cache_queries_total{{{labels}}} 400.0",
            f"vllm:prefix_cache_hits_total{{{labels}}} 100.0",
            f'vllm:engine_sleep_state{{{labels},sleep_state="awake"}} 1.0',
            f'vllm:engine_sleep_state{{{labels},sleep_state="discard_all"}} 0.0',
            f'vllm:cache_config_info{{block_size="16",cache_dtype="auto",engine="{engine}",num_gpu_blocks="1000"}} 1.0',
            *_histogram(
                "vllm:inter_token_latency_seconds", labels, {"0.01": 0.0, "0.05": itl, "+Inf": itl}, itl * 0.03
            ),
            *_histogram("vllm:time_to_first_token_seconds", labels, {"0.1": 10.0, "1.0": 12.0, "+Inf": 12.0}, 3.0),
            *more,
            "",
        ]
    )


@pytest.fixture
def vllm():
    return _vllm


_SCHEDULER = 'engine_type="unified",model_name="m",moe_ep_rank="0",pp_rank="{pp}",tp_rank="0"'


def _sglang(more=()):
    first, second = _SCHEDULER.format(pp=0), _SCHEDULER.format(pp=1)
    return "\n".join(
        [
            *(f"sglang:num_running_reqs{{{labels}}} 4.0" for labels in (first, second)),
            *(f"sglang:num_queue_reqs{{{labels}}} 5.0" for labels in (first, second)),
            f"sglang:token_usage{{{first}}} 0.5",
            f"sglang:max_total_num_tokens{{{first}}} 200000.0",
            f"sglang:max_total_num_tokens{{{second}}} 200000.0",
            f"sglang:weight_memory_usage_gb{{{first}}} 2.0",
            f'sglang:realtime_tokens_total{{{first},mode="decode"}} 70.0',
            f"sglang:num_retracted_requests_total{{{first}}} 2.0",
            'sglang:prompt_tokens_total{engine_type="unified",is_streaming="true",model_name="m"} 100.0',
            'sglang:prompt_tokens_total{engine_type="unified",is_streaming="false",model_name="m"} 300.0',
            'sglang:generation_tokens_total{engine_type="unified",is_streaming="true",model_name="m"} 60.0',
            'sglang:cached_tokens_total{cache_source="device",engine_type="unified",model_name="m"} 100.0',
            *more,
            "",
        ]
    )


@pytest.fixture
def sglang():
    return _sglang
