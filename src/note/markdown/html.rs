//! Images in HTML.

use std::ops::Range;

use html5gum::{DefaultEmitter, StartTag, State, Token, Tokenizer};

use super::{Destination, Syntax};

/// HTML without the marks of the blocks that it stands in, and where its bytes stand in the source.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    html: String,
    runs: Vec<Run>,
}

/// Bytes that follow one another in the fragment as in the source.
#[derive(Debug)]
struct Run {
    at: usize,
    source: usize,
    len: usize,
}

impl Fragment {
    /// Appends `html`, which stands at `range` of `source`, perhaps with marks before each line.
    pub(super) fn push(&mut self, source: &str, html: &str, range: Range<usize>) {
        let Some(written) = source.get(range.clone()) else { return };
        let (mut at, mut start) = (self.html.len(), range.start);
        self.html.push_str(html);
        if written == html {
            self.runs.push(Run { at, source: start, len: html.len() });
            return;
        }
        for (line, written) in html.split_inclusive('\n').zip(written.split_inclusive('\n')) {
            let content = line.trim_end_matches(['\r', '\n']);
            let prefix = written.trim_end_matches(['\r', '\n']).strip_suffix(content);
            if let Some(prefix) = prefix {
                self.runs.push(Run { at, source: start + prefix.len(), len: content.len() });
            }
            at += line.len();
            start += written.len();
        }
    }

    /// Appends what the images in it name.
    pub(super) fn destinations(&self, source: &str, found: &mut Vec<Destination>) {
        // A carriage return counts as no byte in html5gum's offsets where a line feed follows.
        let html = self.html.replace('\r', " ");
        let mut tokens =
            Tokenizer::new_with_emitter(html.as_str(), DefaultEmitter::<usize>::new_with_span());
        while let Some(Ok(token)) = tokens.next() {
            let Token::StartTag(tag) = token else { continue };
            match tag.name.as_slice() {
                b"img" => {
                    self.src(source, &tag, found);
                    self.srcset(source, &tag, found);
                }
                b"source" => self.srcset(source, &tag, found),
                other => {
                    if let Some(state) = content_of(other) {
                        tokens.set_state(state);
                    }
                }
            }
        }
    }

    fn src(&self, source: &str, tag: &StartTag<usize>, found: &mut Vec<Destination>) {
        let Some(value) = tag.attributes.get(b"src".as_slice()) else { return };
        let Some(range) = self.value(source, value.span.start..value.span.end) else { return };
        self.add(source, range, tag, Syntax::HtmlSrc, found);
    }

    fn srcset(&self, source: &str, tag: &StartTag<usize>, found: &mut Vec<Destination>) {
        let Some(value) = tag.attributes.get(b"srcset".as_slice()) else { return };
        let Some(range) = self.value(source, value.span.start..value.span.end) else { return };
        for candidate in candidates(source.get(range.clone()).unwrap_or_default()) {
            let range = range.start + candidate.start..range.start + candidate.end;
            self.add(source, range, tag, Syntax::HtmlSrcset, found);
        }
    }

    fn add(
        &self,
        source: &str,
        range: Range<usize>,
        tag: &StartTag<usize>,
        syntax: Syntax,
        found: &mut Vec<Destination>,
    ) {
        let shown = self.first(tag.span.start).zip(self.last(tag.span.end));
        let target = source.get(range.clone()).and_then(decoded);
        if let (Some((start, end)), Some(target)) = (shown, target) {
            found.push(Destination::once(range, target, syntax, start..end));
        }
    }

    /// Where the value of the attribute at `span` stands in the source, without the white space around it.
    fn value(&self, source: &str, span: Range<usize>) -> Option<Range<usize>> {
        let attribute = self.html.get(span.clone())?;
        let (_, written) = attribute.split_once('=')?;
        let written = written.trim_ascii_start();
        let value = match written.chars().next() {
            Some(quote @ ('"' | '\'')) => written.get(1..)?.split(quote).next()?,
            // The span may take in the byte that ended the value.
            _ => written.split(|c: char| c.is_ascii_whitespace() || c == '>').next()?,
        };
        let quoted = usize::from(written.starts_with(['"', '\'']));
        let start = span.end - written.len() + quoted;
        let span = start..start + value.len();
        if span.is_empty() {
            return self.last(start).map(|end| end..end);
        }
        let range = self.first(start)?..self.last(span.end)?;
        let written = source.get(range.clone())?;
        if self.html.get(span)? != written {
            return None;
        }
        let trimmed = written.trim_ascii();
        let start = range.start + (written.len() - written.trim_ascii_start().len());
        Some(start..start + trimmed.len())
    }

    /// The place in the source of the byte at `at`.
    fn first(&self, at: usize) -> Option<usize> {
        let after = self.runs.partition_point(|run| run.at <= at);
        let run = self.runs.get(after.checked_sub(1)?)?;
        (at < run.at + run.len).then(|| run.source + (at - run.at))
    }

    /// The place in the source after the byte before `end`.
    fn last(&self, end: usize) -> Option<usize> {
        self.first(end.checked_sub(1)?).map(|last| last + 1)
    }
}

/// How the content of an element is read whose content is no HTML.
fn content_of(element: &[u8]) -> Option<State> {
    match element {
        b"textarea" | b"title" => Some(State::RcData),
        b"plaintext" => Some(State::PlainText),
        b"script" => Some(State::ScriptData),
        b"style" | b"iframe" | b"xmp" | b"noembed" | b"noframes" => Some(State::RawText),
        _ => None,
    }
}

/// The URLs of a `srcset`, as HTML's rules find them.
fn candidates(srcset: &str) -> Vec<Range<usize>> {
    let mut urls = Vec::new();
    let mut at = 0;
    loop {
        let rest = srcset.get(at..).unwrap_or_default();
        let skipped = rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
        at += rest.len() - skipped.len();
        if skipped.is_empty() {
            return urls;
        }
        let length = skipped.find(|c: char| c.is_ascii_whitespace()).unwrap_or(skipped.len());
        let url = skipped.get(..length).unwrap_or_default();
        let kept = url.trim_end_matches(',');
        urls.push(at..at + kept.len());
        at += length;
        if kept.len() == length {
            at += descriptor(srcset.get(at..).unwrap_or_default());
        }
    }
}

/// The length of what stands between a URL and the comma that ends its candidate.
fn descriptor(rest: &str) -> usize {
    let mut open = 0_usize;
    rest.bytes()
        .position(|byte| {
            match byte {
                b'(' => open += 1,
                b')' => open = open.saturating_sub(1),
                _ => {}
            }
            byte == b',' && open == 0
        })
        .unwrap_or(rest.len())
}

/// What an attribute's value says that is written so.
fn decoded(raw: &str) -> Option<String> {
    if !raw.contains(['&', '\0']) {
        return Some(raw.to_owned());
    }
    let quote = if raw.contains('"') { '\'' } else { '"' };
    let tag = format!("<p a={quote}{raw}{quote}>");
    match Tokenizer::new(tag.as_str()).next() {
        Some(Ok(Token::StartTag(mut tag))) => tag
            .attributes
            .remove(b"a".as_slice())
            .and_then(|value| String::from_utf8(value.value.0).ok()),
        _ => None,
    }
}
