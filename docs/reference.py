"""Write reference.md from the docstrings of the public names: `./dev docs`."""

import logging
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs/reference.md"
WIDTH = 100

# every name of `sagan.__all__`, and what is reached through a wing
SECTIONS = {
    "Open and sample": ["load", "load_discriminator", "sample", "image_grid"],
    "Pass on": ["sharing.mixin.Pretrained.save_pretrained"],
    "Networks": ["NetworkConfig", "preset", "build_generator", "build_discriminator"],
    "Blocks": [
        "SelfAttention",
        "record_attention",
        "nn.AttentionMap",
        "attention_numbers",
        "nn.AttentionNumbers",
        "SpectralNorm",
        "power_iteration",
        "ConditionalBatchNorm",
        "GeneratorBlock",
        "DiscriminatorBlock",
    ],
    "Training": [
        "train_run",
        "load_dataset",
        "data.ImageDataset",
        "to_float",
        "to_uint8",
        "discriminator_loss",
        "generator_loss",
        "gradient_penalty",
        "EMA",
        "TrainingConfig",
        "RunConfig",
    ],
    "Explain": ["explain_run", "explain.Explanation", "explain.Verdict", "explain.intervene"],
    "Metrics": [
        "evaluate",
        "metrics.Score",
        "metrics.load_inception",
        "evaluate_run",
        "evaluation.Evaluation",
    ],
    "Structure": ["structure.score_structure", "structure.StructureScore"],
    "Formulas of the metrics, for features of your own": [
        "metrics.formulas.frechet.frechet_distance_of",
        "metrics.formulas.kernel.kernel_distance",
        "metrics.formulas.prdc.prdc",
        "metrics.formulas.nn1.nn1",
        "metrics.formulas.memorisation.memorisation",
        "metrics.formulas.duplicates.near_duplicate_rate",
        "metrics.formulas.cas.classification_accuracy_score",
        "metrics.formulas.inception_score.InceptionScore",
    ],
}
HEAD = """\
# Reference

The public names of `sagan`, from their docstrings: written by `./dev docs`, not by hand. In shapes
`b` is a batch, `n` images or queries, `c h w` channels and sides. Images are uint8 in [0, 255]
outside of the networks and float in [-1, 1] inside.
"""

Documented = griffe.Class | griffe.Function


def documented() -> Iterator[tuple[str, Documented]]:
    """Find every name of the sections, without importing the package."""
    logging.getLogger("griffe").setLevel(logging.ERROR)  # "g_lr, d_lr: ..." is our style
    package = griffe.load(
        "sagan",
        search_paths=[ROOT / "src"],
        docstring_parser="google",
    )
    for name in (name for names in SECTIONS.values() for name in names):
        found = package[name]
        found = found.final_target if isinstance(found, griffe.Alias) else found
        assert isinstance(found, Documented), name
        yield name, found


def summary(thing: griffe.Object) -> str:
    """The docstring's first line."""
    return thing.docstring.value.partition("\n")[0] if thing.docstring else ""


def parameters_of(thing: Documented) -> list[griffe.Parameter]:
    """What a name is called with; griffe knows it of dataclasses, and not of named tuples."""
    if isinstance(thing, griffe.Function) or "NamedTuple" not in map(str, thing.bases):
        return list(thing.parameters)
    kind = griffe.ParameterKind.positional_or_keyword
    fields = (m for m in thing.members.values() if isinstance(m, griffe.Attribute))
    return [
        griffe.Parameter(f.name, annotation=f.annotation, kind=kind, default=f.value)
        for f in fields
        if "property" not in f.labels
    ]


def options_of(thing: Documented) -> list[griffe.Attribute]:
    """The keyword arguments that a function takes as `**options: Unpack[SomeTypedDict]`."""
    for parameter in thing.parameters if isinstance(thing, griffe.Function) else ():
        if parameter.kind is griffe.ParameterKind.var_keyword:
            named = re.fullmatch(r"Unpack\[(\w+)\]", str(parameter.annotation))
            assert named
            typed = thing.modules_collection[thing.module.resolve(named[1])]
            assert isinstance(typed, griffe.Class)
            parts = [typed.module[str(base)] for base in typed.bases]
            return [option for part in parts for option in part.attributes.values()]
    return []


def signature(name: str, thing: Documented) -> str:
    """How a name is called: on one line, or with a line for each argument."""
    arguments = []
    keyword_only = False
    for parameter in parameters_of(thing):
        if parameter.name == "self":
            continue
        if parameter.kind is griffe.ParameterKind.var_keyword:
            arguments += (f"{a.name}: {spelt(a.annotation, a)} = ..." for a in options_of(thing))
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and not keyword_only:
            arguments.append("*")
            keyword_only = True
        default = "" if parameter.default is None else f" = {spelt(parameter.default, thing)}"
        arguments.append(f"{parameter.name}: {spelt(parameter.annotation, thing)}{default}")
    returns = getattr(thing, "returns", None)
    end = f") -> {spelt(returns, thing)}" if returns else ")"
    if any(str(decorator.value) == "contextmanager" for decorator in thing.decorators):
        end = end.replace("Iterator", "AbstractContextManager")
    line = f"{name}({', '.join(arguments)}{end}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), end])


def spelt(code: str | griffe.Expr | None, thing: griffe.Object) -> str:
    """An annotation or a default with double quotes, and with the values of names that hide them.

    Those are sets of choices (`Loss`) and numbers (`NEIGHBOURS`).
    """

    def value(word: re.Match[str]) -> str:
        try:
            named = thing.modules_collection[thing.module.resolve(word[0])]
        except (KeyError, griffe.NameResolutionError):
            return word[0]
        named = named.final_target if named.is_alias else named
        said = str(getattr(named, "value", "") or "")
        return said if re.match(r"Literal\[|\d", said) else word[0]

    return re.sub(r"(?<![\w.'])[A-Za-z_]\w+(?![\w.'])", value, str(code)).replace("'", '"')


def body(thing: Documented) -> Iterator[str]:
    """What the docstring says, as Markdown, a paragraph or list at a time."""
    docstring = thing.docstring.value if thing.docstring else ""
    for section in thing.docstring.parsed if thing.docstring else []:
        match section.kind, section.value:
            case griffe.DocstringSectionKind.text, text:
                yield text
            case griffe.DocstringSectionKind.parameters, parameters:
                yield "\n".join(item(f"`{p.name}`", p.description) for p in parameters)
                if options := options_of(thing):
                    yield "The options:"
                    yield "\n".join(item(f"`{o.name}`", summary(o)) for o in options)
            case griffe.DocstringSectionKind.returns, _:  # read as types up to the first colon
                text = re.search(r"^Returns:\n((?: +.*\n?)+)", docstring, flags=re.MULTILINE)
                assert text
                yield f"**Returns:** {textwrap.dedent(text[1])}"
            case griffe.DocstringSectionKind.raises, raised:
                yield "**Raises:**"
                yield "\n".join(item(f"`{r.annotation}`", r.description) for r in raised)
            case griffe.DocstringSectionKind.admonition, note if note.kind == "example":
                yield f"```pycon\n{note.contents}\n```"
            case griffe.DocstringSectionKind.admonition, note:
                yield f"**{section.title}:** {note.contents}"


def item(name: str, description: str) -> str:
    """One entry of a list."""
    return f"- {name}: " + description.replace("\n", "\n  ")


def methods(thing: griffe.Class) -> str:
    """A class's own public methods and properties, with the first line of each."""
    lines = []
    for member in thing.members.values():
        if member.is_alias or not member.is_public or not member.has_docstring:
            continue
        if isinstance(member, griffe.Function):
            call = signature("()" if member.name == "forward" else f".{member.name}", member)
            call = call.replace("()(", "(", 1)  # modules are called, not their forward
            lines.append(item(f"`{' '.join(call.split())}`", summary(member)))
        elif isinstance(member, griffe.Attribute):
            lines.append(item(f"`.{member.name}: {member.annotation}`", summary(member)))
    return "\n".join(lines)


def anchor(heading: str) -> str:
    """The address of a heading within a page, as GitHub makes it."""
    return "#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def reference() -> str:
    """Write the whole page."""
    things = dict(documented())
    contents = [
        f"**{title}**\n\n" + "\n".join(f"- [{n}]({anchor(n)}): {summary(things[n])}" for n in names)
        for title, names in SECTIONS.items()
    ]
    parts = [HEAD, *contents]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}")
        for name in names:
            thing = things[name]
            parts += [f"### {name}", f"```py\n{signature(f'sagan.{name}', thing)}\n```"]
            parts += body(thing)
            if isinstance(thing, griffe.Class) and (listed := methods(thing)):
                parts += ["Methods and properties:", listed]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
    print(f"wrote {FILE.relative_to(ROOT)}")
