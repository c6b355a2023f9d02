"""Certificates of many policies of one game, made in this process or wherever an engine runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

from mailopt.certificates.certificate import Certificate
from mailopt.certificates.certify import Certifier
from mailopt.deviations import DeviationClass
from mailopt.errors import MailoptError, MalformedFile
from mailopt.games.files import load_game, load_policy
from mailopt_solvers.engines import Engine
from mailopt_solvers.errors import WorkerLost


class Outcome(NamedTuple):
    """What became of a policy: ``written``, ``replaced``, ``kept`` or ``failed``; its certificate, or the error."""

    status: str
    found: Certificate | str


@dataclass(frozen=True)
class SentFile:
    """A file that goes to other processes as its content, or why it cannot be read; read when it leaves."""

    name: str
    content: bytes | OSError | None = None

    def __getstate__(self) -> dict[str, Any]:
        content = self.content
        if content is None:
            try:
                content = Path(self.name).read_bytes()
            except OSError as error:
                content = error
        return {"name": self.name, "content": content}

    def put(self, folder: str, name: str) -> Path:
        """Write the file again, if there was one."""
        path = Path(folder, name + Path(self.name).suffix)
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        elif self.content is not None and not isinstance(self.content, FileNotFoundError):
            raise self.content
        return path


Files: TypeAlias = tuple[SentFile, SentFile]  # a policy, and the certificate that may be there already
CertifyOne: TypeAlias = Callable[[Files], Outcome]


def certify_files(
    certify_one: CertifyOne, paths: Sequence[Path], targets: Sequence[Path], engine: Engine
) -> Generator[tuple[int, Outcome], None, None]:
    """Certify policies and write their certificates; yields the index of each and what became of it, in any order.

    A policy that cannot be certified does not stop the others.

    Parameters
    ----------
    certify_one
        :func:`certify_with` in this process, :func:`certify_anywhere` in others.
    paths, targets
        Policy files, and the certificates to write; what is there and about the same is kept.
    engine
        Where to do it.
    """
    files = [(SentFile(str(path)), SentFile(str(target))) for path, target in zip(paths, targets, strict=True)]
    with closing(engine.each(certify_one, files)) as outcomes:
        for index, outcome in outcomes:
            if isinstance(outcome, WorkerLost):
                yield index, Outcome("failed", f"{paths[index]}: {outcome}")
                continue
            if isinstance(outcome.found, Certificate) and outcome.status != "kept":
                try:
                    outcome.found.save(targets[index])
                except OSError as error:
                    yield index, Outcome("failed", _in_a_line(error))
                    continue
            yield index, outcome


def certify_with(certifier: Certifier) -> CertifyOne:
    """Certify in this process."""
    return partial(_certified, certifier)


def certify_anywhere(
    game_file: Path, expert_file: Path | None, deviations: DeviationClass, *, exact: bool
) -> CertifyOne:
    """Certify where there may be none of the files: their content goes there, and each process reads the game once."""
    expert = None if expert_file is None else SentFile(str(expert_file))
    return partial(_certified_elsewhere, SentFile(str(game_file)), expert, deviations, exact)


def _certified(certifier: Certifier, files: Files) -> Outcome:
    """Certify a policy, unless it has its certificate already."""
    path, target = (Path(file.name) for file in files)
    try:
        policy = load_policy(path, certifier.game)
        certificate = _existing(target)
        if certificate is not None and certifier.certifies(certificate, policy):
            return Outcome("kept", certificate)
        return Outcome("replaced" if certificate else "written", certifier.certify(policy))
    except (MailoptError, OSError) as error:
        return Outcome("failed", _in_a_line(error))


def _certified_elsewhere(
    game: SentFile, expert: SentFile | None, deviations: DeviationClass, exact: bool, files: Files
) -> Outcome:
    certifier = _certifier(game, expert, deviations, exact)
    with TemporaryDirectory() as folder:
        try:
            places = [file.put(folder, name) for file, name in zip(files, ("policy", "certificate"), strict=True)]
        except OSError as error:
            return Outcome("failed", _in_a_line(error))
        outcome = _certified(certifier, (SentFile(str(places[0])), SentFile(str(places[1]))))
        found = outcome.found
        if isinstance(found, str):
            for file, place in zip(files, places, strict=True):
                found = found.replace(str(place), file.name)
        return Outcome(outcome.status, found)


@lru_cache(maxsize=1)
def _certifier(game: SentFile, expert: SentFile | None, deviations: DeviationClass, exact: bool) -> Certifier:
    """Make the certifier, once in each process."""
    with TemporaryDirectory() as folder:
        read = load_game(game.put(folder, "game"))
        policy = None if expert is None else load_policy(expert.put(folder, "expert"), read)
    return Certifier(read, policy, deviations=deviations, exact=exact)


def _existing(target: Path) -> Certificate | None:
    """Load the certificate that is there already, if any; what else is there is not overwritten."""
    try:
        return Certificate.load(target) if target.exists() else None
    except MalformedFile as error:
        raise MalformedFile(f"{error}; delete it, or choose another -o") from None


def _in_a_line(error: MailoptError | OSError) -> str:
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
