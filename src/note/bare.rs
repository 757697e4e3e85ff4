//! Embeds that lost their markup.
//!
//! One device puts another picture in the place of an image, and another takes the image away: what is
//! left of it is the embed that the one put in, with nothing around it. No source is read as such a body,
//! so wherever an embed stands bare a merge left it so, and it is shown as an image all the same.

/// The bytes before an embed in which the beginning of its destination is looked for.
const LOOKED_AT: usize = 512;

/// Whether `before` may be the beginning of a destination, be it in broken markup.
pub(super) fn begins_destination(before: &str) -> bool {
    let start = before.ceil_char_boundary(before.len().saturating_sub(LOOKED_AT));
    let before = before.get(start..).unwrap_or_default();
    let plain = before.strip_suffix('<').unwrap_or(before);
    // A destination may stand in the next line, behind the marks of the blocks that it stands in.
    let broken = plain.trim_end_matches([' ', '\t', '\r', '\n', '>']);
    plain.len() < before.len()
        || broken.ends_with("](")
        || broken.ends_with("]:")
        || before.strip_suffix(['"', '\'']).unwrap_or(before).ends_with('=')
        || before.trim_end().ends_with("[[")
        || in_label(before)
        || in_tag(before)
}

/// Whether `before` ends as `![label(` does, where an image was being typed.
fn in_label(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    let label = line.strip_suffix('(').and_then(|line| line.rsplit_once("!["));
    label.is_some_and(|(_, label)| !label.contains(']'))
}

/// Whether `before` ends in a tag of HTML that may name an image, or in a comment.
fn in_tag(before: &str) -> bool {
    let tag = before.rsplit_once('<').map_or("", |(_, tag)| tag);
    !tag.contains('>')
        && ["img", "source", "!--"]
            .iter()
            .any(|name| tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
}

/// What makes an image of a destination: what stands before it, and what stands behind it.
pub(super) fn markup(name: &str) -> (&'static str, &'static str) {
    let special = |c: char| c.is_ascii_control() || matches!(c, ' ' | '(' | ')' | '<' | '\\');
    let pointed = name.is_empty() || name.contains(special);
    if pointed { ("![](<", ">)") } else { ("![](", ")") }
}
