//! Owns an org file's text and the positions of its lines and comments: where each node of the YAML tree starts and ends.
//!
//! It is pure. Lines end like in YAML: with a line feed, a carriage return, or both.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::manifest::yaml::{Key, Kind, Node, Position};

/// A part of the text and its replacement.
pub(super) struct Splice {
    pub range: Range<usize>,
    pub text: Zeroizing<String>,
}

impl Splice {
    pub(super) fn insertion(at: usize, text: Zeroizing<String>) -> Self {
        Splice { range: at..at, text }
    }

    /// Removes a part of the text, including its comments.
    pub(super) fn removal(range: Range<usize>) -> Self {
        Splice { range, text: Zeroizing::default() }
    }
}

/// The text and the positions of its lines and comments.
pub(super) struct OrgText<'a> {
    /// Without its byte order mark.
    pub text: &'a str,
    /// The line ending.
    pub newline: &'static str,
    mark: &'a str,
    lines: Vec<usize>,
    comments: Vec<Range<usize>>,
}

impl<'a> OrgText<'a> {
    /// Takes a text and the tree that was read from it.
    pub(super) fn new(whole: &'a str, root: &Node) -> Self {
        let text = whole.strip_prefix('\u{feff}').unwrap_or(whole);
        let mark = &whole[..whole.len() - text.len()];
        let newline = ["\r\n", "\n", "\r"].into_iter().find(|newline| text.contains(newline)).unwrap_or("\n");
        let bytes = text.as_bytes();
        let ends = |at: &usize| bytes[*at] == b'\n' || (bytes[*at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        let lines = std::iter::once(0).chain((0..bytes.len()).filter(ends).map(|at| at + 1)).collect();
        let mut page = OrgText { text, newline, mark, lines, comments: Vec::new() };
        page.comments = page.find_comments(root);
        page
    }

    /// Returns the comments that remain after the splices, in order.
    pub(super) fn comments_without(&self, splices: &[Splice]) -> Vec<&'a str> {
        let is_out = |at: usize| splices.iter().any(|splice| splice.text.is_empty() && splice.range.contains(&at));
        self.comments.iter().filter(|range| !is_out(range.start)).map(|range| &self.text[range.clone()]).collect()
    }

    pub(super) fn has_comment(&self, range: &Range<usize>) -> bool {
        self.comments.iter().any(|comment| range.contains(&comment.start))
    }

    fn find_comments(&self, root: &Node) -> Vec<Range<usize>> {
        let mut scalars = Vec::new();
        self.scalars(root, &mut scalars);
        scalars.sort_by_key(|range| (range.start, range.end));
        let mut scalars = scalars.into_iter().peekable();
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(next) = self.text[at..].find('#').map(|next| at + next) {
            at = next + 1;
            while scalars.next_if(|scalar| scalar.end <= next).is_some() {}
            let begins = self.text[..next].chars().next_back().is_none_or(char::is_whitespace);
            if begins && scalars.peek().is_none_or(|scalar| !scalar.contains(&next)) {
                at = self.line_end(next);
                found.push(next..at);
            }
        }
        found
    }

    fn scalars(&self, node: &Node, found: &mut Vec<Range<usize>>) {
        match &node.kind {
            Kind::Scalar(_) => found.push(self.byte(node.at)..self.last(node)),
            Kind::Sequence(nodes) => nodes.iter().for_each(|node| self.scalars(node, found)),
            Kind::Mapping(fields) => {
                for (key, node) in fields {
                    let start = self.byte(key.at);
                    found.push(start..start + closing(&self.text[start..]).unwrap_or(key.text.len()));
                    self.scalars(node, found);
                }
            }
        }
    }

    pub(super) fn is_flow(&self, node: &Node) -> bool {
        self.text[self.byte(node.at)..].starts_with(['{', '['])
    }

    /// Returns the offset after a node's last character.
    pub(super) fn last(&self, node: &Node) -> usize {
        let end = match &node.kind {
            Kind::Mapping(fields) if !self.is_flow(node) => fields.iter().map(|(_, node)| self.last(node)).max(),
            Kind::Sequence(nodes) if !self.is_flow(node) => nodes.iter().map(|node| self.last(node)).max(),
            _ => None,
        };
        let start = self.byte(node.at);
        // for quoted and flow nodes, the parser's end includes the comment after them
        let end = end.or_else(|| closing(&self.text[start..]).map(|length| start + length));
        let end = end.unwrap_or_else(|| self.byte(node.end));
        // a block scalar ends on the line below it
        self.text[..end].trim_end().len().max(start)
    }

    /// Returns where a key's colon ends.
    pub(super) fn colon(&self, key: &Key) -> Option<usize> {
        let at = self.byte(key.at);
        let quoted = usize::from(self.text[at..].starts_with(['"', '\''])) * 2;
        let behind = at + key.text.len() + quoted;
        let rest = self.text.get(behind..)?;
        let colon = rest.len() - rest.trim_start_matches(' ').len();
        rest[colon..].starts_with(':').then_some(behind + colon + 1)
    }

    /// Returns the start of a position's line.
    pub(super) fn line(&self, at: Position) -> Option<usize> {
        self.lines.get(at.line.checked_sub(1)?).copied()
    }

    /// Returns the end of the line above a position.
    pub(super) fn end_of_line_above(&self, at: Position) -> Option<usize> {
        self.lines.get(at.line.checked_sub(2)?).map(|start| self.line_end(*start))
    }

    pub(super) fn byte(&self, at: Position) -> usize {
        let start = self.line(at).unwrap_or(self.text.len());
        let line = &self.text[start..];
        start + line.char_indices().nth(at.column - 1).map_or(line.len(), |(byte, _)| byte)
    }

    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        at + rest.find(['\n', '\r']).unwrap_or(rest.len())
    }

    pub(super) fn behind_newline(&self, end: usize) -> usize {
        let rest = &self.text[end..];
        let newline = ["\r\n", "\n", "\r"].into_iter().find(|newline| rest.starts_with(newline));
        end + newline.map_or(0, str::len)
    }

    /// Returns the end of the comment lines (with blank lines between them) that follow a line's end and are indented at least this far.
    pub(super) fn below_comments(&self, end: usize, indent: usize) -> usize {
        let (mut end, mut at) = (end, end);
        loop {
            let start = self.behind_newline(at);
            if start == at {
                return end;
            }
            at = self.line_end(start);
            let line = &self.text[start..at];
            let comment = line.trim_start_matches(' ');
            match comment.starts_with('#') && line.len() - comment.len() >= indent {
                true => end = at,
                false if comment.is_empty() => {}
                false => return end,
            }
        }
    }

    /// Returns the whole text with the splices applied; `None` if they overlap.
    pub(super) fn with(&self, mut splices: Vec<Splice>) -> Option<Zeroizing<String>> {
        splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
        let mut parts = vec![self.mark];
        let mut done = 0;
        for splice in &splices {
            parts.extend([self.text.get(done..splice.range.start)?, &splice.text]);
            done = splice.range.end;
        }
        parts.push(self.text.get(done..)?);
        Some(joined(&parts))
    }
}

/// Joins texts in a buffer that does not grow.
pub(super) fn joined(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| text.push_str(part));
    text
}

/// Returns the length of the quoted scalar or flow collection at the start of a text; `None` if there is neither.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    let mut previous = ' ';
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (Some('"'), '\\') => {
                characters.next();
            }
            // in a single-quoted scalar, `''` is one quote
            (Some('\''), '\'') if characters.next_if(|(_, next)| *next == '\'').is_some() => {}
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if depth == 0 || " {[,:\n\r".contains(previous) => quote = Some(c),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth -= 1,
            (None, '#') if depth > 0 && previous.is_whitespace() => {
                while characters.next_if(|(_, next)| !['\n', '\r'].contains(next)).is_some() {}
            }
            (None, _) if depth == 0 => return None,
            (None, _) => {}
        }
        if quote.is_none() && depth == 0 {
            return Some(at + c.len_utf8());
        }
        previous = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::manifest::yaml;

    fn root(text: &str) -> Rc<Node> {
        yaml::read("org.yaml", text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
    }

    fn fields(node: &Node) -> &[(Key, Rc<Node>)] {
        match &node.kind {
            Kind::Mapping(fields) => fields,
            _ => panic!("no mapping"),
        }
    }

    #[test]
    fn a_quoted_scalar_or_a_flow_collection_ends_at_its_own_quote_or_bracket() {
        for (whole, rest) in [
            (r#""a b""#, r#": 1"#),
            (r#""a\" b""#, " c"),
            ("'it''s'", " '"),
            ("[a, b]", " # c]"),
            (r#"{ a: [b, "]}"], c: ']' }"#, " }"),
            ("{ a: it's }", ", b: it's }"),
            ("[a#b]", "]"),
            ("[a, # ]\n b]", " ]"),
            ("[a, #\r b]", "]"),
        ] {
            assert_eq!(closing(&format!("{whole}{rest}")), Some(whole.len()), "{whole}");
        }
        for text in ["a", "# [a]", "", "[a", "'a", "[ # ]", "it's"] {
            assert_eq!(closing(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_in_a_scalar_is_no_comment_and_a_removed_comment_is_gone() {
        let text = "# one\na: 'x # y' # two\nb: x#y\nc: # three\n  - |\n    # z\n  # four\n'#d': 1";
        let page = OrgText::new(text, &root(text));
        assert_eq!(page.comments_without(&[]), ["# one", "# two", "# three", "# four"]);
        let at = text.find("# two").unwrap();
        let with = |start, end, text: &str| Splice { range: start..end, text: joined(&[text]) };
        assert_eq!(page.comments_without(&[with(at - 1, at + 1, "")]), ["# one", "# three", "# four"]);
        assert_eq!(page.comments_without(&[with(at + 1, text.len(), "")]), ["# one", "# two"]);
        assert_eq!(page.comments_without(&[with(0, text.len(), "x")]).len(), 4);
    }

    #[test]
    fn a_node_ends_where_its_last_part_does() {
        let text = "a:\n  - x\n  - y # c\n  # c\n\nb: { c: d } # c\ne:\n  f: |\n    g\n\n  # c\nh: i # c";
        let page = OrgText::new(text, &root(text));
        let ends: Vec<&str> = fields(&root(text)).iter().map(|(_, node)| &text[..page.last(node)]).collect();
        for (end, expected) in ends.iter().zip(["- y", "{ c: d }", "    g", "h: i"]) {
            assert!(end.ends_with(expected), "{end}");
        }
        assert_eq!(page.last(&root(text)), ends[3].len());
    }

    #[test]
    fn a_colon_may_stand_apart_from_its_key() {
        for (text, end) in [("a: 1", 2), ("ab  : 1", 5), ("'a b' : 1", 7), ("\"a\": 1", 4)] {
            let root = root(text);
            let (key, _) = &fields(&root)[0];
            assert_eq!(OrgText::new(text, &root).colon(key), Some(end), "{text}");
        }
    }

    #[test]
    fn the_comments_below_a_line_end_at_the_first_line_that_is_none() {
        let text = "a: 1\n  # one\n\n   # two\n # less\nb: 2\n  # three\n";
        let page = OrgText::new(text, &root(text));
        let below = |line: &str, indent| {
            let end = text.find(line).unwrap() + line.len();
            &text[end..page.below_comments(end, indent)]
        };
        assert_eq!(below("a: 1", 2), "\n  # one\n\n   # two");
        assert_eq!(below("a: 1", 1), "\n  # one\n\n   # two\n # less");
        assert_eq!(below("a: 1", 3), "");
        assert_eq!(below("b: 2", 2), "\n  # three");
    }
}
