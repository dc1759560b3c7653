"""Files of weights from the hub: those on disk without asking anyone, the rest if it answers."""

import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies, proxy_bypass

from frameflow.errors import UsageError

_PATIENCE = 4.0  # seconds; the hub's own client would retry for three quarters of a minute
_FILES = ("model.safetensors", "pytorch_model.bin")


def fetch(name: str, config: Any, *, instead: str) -> tuple[Path, str]:
    """The file of a model's published weights, downloaded where it is not on disk yet.

    Args:
        name: the timm name, for messages.
        config: timm's ``PretrainedCfg`` of the model, or None.
        instead: what to do where the weights cannot be had, for the message.

    Returns:
        The path of the file, and its source in words.

    Raises:
        UsageError: no weights are published, the hub does not answer, or the download fails.
    """
    if config is not None and config.hf_hub_id:
        return _from_hub(name, config, instead)
    return fetch_url(name, config.url if config is not None else None, instead=instead)


def fetch_folder(name: str, repository: str | None, *, instead: str) -> tuple[Path, str]:
    """The folder with ``config.json`` and the weights of a repository on the Hugging Face hub.

    Args:
        name: of the model, for messages.
        repository: ``OWNER/NAME``; None where nothing is published.
        instead: what to do where the weights cannot be had, for the message.

    Returns:
        The folder, and its source in words.

    Raises:
        UsageError: as `fetch`.
    """
    if repository is None:
        raise UsageError(f"No weights are published for {name}. {instead}")
    path, source = _from_repository(name, repository, _FILES, instead)
    _from_repository(name, repository, ("config.json",), instead)
    return path.parent, source


def _from_hub(name: str, config: Any, instead: str) -> tuple[Path, str]:
    files = (config.hf_hub_filename,) if config.hf_hub_filename else _FILES
    return _from_repository(name, config.hf_hub_id, files, instead)


def _from_repository(
    name: str, place: str, files: tuple[str, ...], instead: str
) -> tuple[Path, str]:
    import huggingface_hub as hub

    repository, _, revision = place.partition("@")
    source = f"hub {place}"
    for file in files:
        cached = hub.try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached), source
    if hub.constants.HF_HUB_OFFLINE:
        raise _cannot(name, "HF_HUB_OFFLINE forbids the download", instead)
    _refuse_unreachable(name, hub.constants.ENDPOINT, instead)
    for file in files:
        try:
            return Path(hub.hf_hub_download(repository, file, revision=revision or None)), source
        except hub.errors.LocalEntryNotFoundError as error:
            raise _cannot(name, f"the download failed ({_short(error)})", instead) from None
        except hub.errors.EntryNotFoundError:
            continue
        except Exception as error:
            raise _cannot(name, f"the download failed ({_short(error)})", instead) from None
    raise _cannot(name, f"{repository} holds no {' or '.join(files)}", instead)


def fetch_url(name: str, url: str | None, *, instead: str) -> tuple[Path, str]:
    """The file at an address, kept where torch.hub keeps it; its path and the address.

    Raises:
        UsageError: as `fetch`; the address is None.
    """
    if not url:
        raise UsageError(f"No weights are published for {name}. {instead}")
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not path.is_file():
        _refuse_unreachable(name, url, instead)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except Exception as error:
            raise _cannot(name, f"the download failed ({_short(error)})", instead) from None
    return path, url


def _cannot(name: str, why: str, instead: str) -> UsageError:
    return UsageError(f"The pretrained weights of {name} are not on disk and {why}. {instead}")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def _refuse_unreachable(name: str, url: str, instead: str) -> None:
    host, port = _first_hop(url)
    if not _reachable(host, port):
        raise _cannot(name, f"{host} cannot be reached", instead)


def _first_hop(url: str) -> tuple[str, int]:
    """The machine that a request goes to first: a proxy, or the host itself."""
    target = urlparse(url)
    host = target.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(host):
        hop = urlparse(proxy if "//" in proxy else f"//{proxy}")
        return hop.hostname or host, hop.port or 80
    return host, target.port or (80 if target.scheme == "http" else 443)


def _reachable(host: str, port: int) -> bool:
    """Whether a connection opens in time; looking up a name has no timeout of its own."""
    found = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_PATIENCE).close()
            found.set()
        except OSError:
            pass

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(_PATIENCE)
    return found.is_set()
