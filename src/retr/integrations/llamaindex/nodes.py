"""LlamaIndex's nodes to our documents and back."""

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from retr.retrieval.records import Document, Hit

EMPTY_LISTS = "_empty_lists"
"""A metadata key of ours: the names of the metadata that are empty lists, which a filter cannot see otherwise."""

CONTENT = "_node_content"
"""LlamaIndex's key for a node as JSON; it goes into a document's source, where filters do not look."""


def to_document(node: BaseNode) -> Document:
    """Its text; the metadata that LlamaIndex's stores filter by, `ref_doc_id` among them; and the node itself."""
    metadata = node_to_metadata_dict(node, remove_text=True)
    content = metadata.pop(CONTENT)
    empty = [name for name, value in metadata.items() if value == []]
    if empty:
        metadata[EMPTY_LISTS] = empty
    return Document(
        node.node_id, node.get_content(metadata_mode=MetadataMode.NONE), metadata=metadata, source={CONTENT: content}
    )


def from_hit(hit: Hit) -> BaseNode:
    """The node as it was added, without its vector; of an index made elsewhere, a text node with what is known."""
    if CONTENT in hit.source:
        stored = {CONTENT: hit.source[CONTENT], "_node_type": hit.metadata.get("_node_type")}
        return metadata_dict_to_node(stored, text=hit.text)
    origin: dict[str, Any] = {name: hit.source[name] for name in ("page", "start", "end") if name in hit.source}
    if hit.title:
        origin["title"] = hit.title
    if "path" in hit.source:
        origin["file_path"] = hit.source["path"]
    return TextNode(id_=hit.id, text=hit.text, metadata={**origin, **hit.metadata})


def from_document(document: Document) -> BaseNode:
    """A stored document whole."""
    return from_hit(Hit(document.id, 0.0, 0, document.title, document.text, document.metadata, document.source))


def scored(hits: Sequence[Hit]) -> list[NodeWithScore]:
    """Nodes with their scores, in order."""
    return [NodeWithScore(node=from_hit(hit), score=hit.score) for hit in hits]
