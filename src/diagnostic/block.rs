//! Owns the text of diagnostics. Diagnostics with the same cause are printed as one block: one message, its first places or
//! subjects, and shared hints.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::{Diagnostic, Severity, line};

/// How many subjects a block shows, or places if they are in several files. Those in one file are all shown, since each may need its own
/// correction.
const MOST_PLACES: usize = 5;

/// The thing that a diagnostic is about. Diagnostics that differ only in their subject are printed as one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The name that the diagnostic shows.
    pub name: String,
    /// What it is, in the singular, such as `secret`.
    pub kind: &'static str,
    /// The message for several subjects: the words before and after their names. Without it the first one's message is shown.
    pub of_many: Option<[String; 2]>,
    /// The hints that name it, each with its index.
    pub hints: Vec<(usize, ListHint)>,
}

impl Subject {
    /// Returns a reason as the subject: a block shows the first one's message, and at each other place its reason.
    pub fn reason(why: &str) -> Self {
        Subject { name: why.to_owned(), kind: "reason", of_many: None, hints: Vec::new() }
    }
}

/// A hint that differs only in one item and can list the items of several diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListHint {
    pub before: String,
    pub item: String,
    pub after: String,
    /// Whether the items are JSON strings (several become an array). Otherwise they are words separated by spaces.
    pub is_json: bool,
}

impl ListHint {
    /// Returns the hint for one subject.
    pub fn text(&self) -> String {
        self.with(&BTreeSet::from([self.item.as_str()]))
    }

    fn with(&self, items: &BTreeSet<&str>) -> String {
        let quoted = |item: &&str| if self.is_json { format!("\"{item}\"") } else { (*item).to_owned() };
        let list: Vec<String> = items.iter().map(quoted).collect();
        let list = match (self.is_json, &list[..]) {
            (true, [_, _, ..]) => format!("[{}]", list.join(",")),
            _ => list.join(" "),
        };
        format!("{}{list}{}", self.before, self.after)
    }
}

/// A part of a block's text that a terminal may color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The place of an error, or the word `error:`.
    Error,
    Warning,
    /// The place of a warning.
    Place,
    Cause,
    Hint,
}

/// What makes two diagnostics one block.
#[derive(PartialEq, Eq, Hash)]
enum Likeness<'a> {
    Same {
        severity: Severity,
        code: &'a str,
        what: &'a str,
        causes: &'a [String],
        hints: &'a [String],
    },
    /// The same except for the subject.
    Alike {
        severity: Severity,
        code: &'a str,
        of_many: Option<&'a [String; 2]>,
        causes: usize,
        hints: Vec<String>,
    },
}

impl<'a> Likeness<'a> {
    fn of(diagnostic: &'a Diagnostic) -> Self {
        let Diagnostic { severity, code, what, causes, hints, subject, .. } = diagnostic;
        match subject {
            None => Likeness::Same { severity: *severity, code, what, causes, hints },
            Some(subject) => {
                let of_all = |(index, hint): (usize, &String)| match subject.hints.iter().find(|(at, _)| *at == index) {
                    Some((_, hint)) => format!("{}\0{}", hint.before, hint.after),
                    None => hint.replace(&subject.name, "\0"),
                };
                let hints = hints.iter().enumerate().map(of_all).collect();
                // a service's own words differ in each answer
                Likeness::Alike {
                    severity: *severity,
                    code,
                    of_many: subject.of_many.as_ref(),
                    causes: causes.len(),
                    hints,
                }
            }
        }
    }
}

/// Diagnostics with the same cause, in the order they were found.
pub struct Block<'a>(Vec<&'a Diagnostic>);

/// Groups diagnostics into blocks, in the order of their first diagnostics.
pub fn blocks(diagnostics: &[Diagnostic]) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut known = HashMap::new();
    for diagnostic in diagnostics {
        let index = *known.entry(Likeness::of(diagnostic)).or_insert(blocks.len());
        match blocks.get_mut(index) {
            Some(block) => block.0.push(diagnostic),
            None => blocks.push(Block(vec![diagnostic])),
        }
    }
    blocks
}

impl Block<'_> {
    /// Returns the block's text, each part passed through `paint`.
    pub fn text(&self, paint: &dyn Fn(Part, &str) -> String) -> String {
        let Some(first) = self.0.first() else { return String::new() };
        let names: BTreeSet<&str> = self.0.iter().filter_map(|one| Some(&*one.subject.as_ref()?.name)).collect();
        let what = match first.subject.as_deref() {
            Some(Subject { name, kind, of_many: Some([before, after]), .. }) if names.len() > 1 => {
                let others = names.len() - 1;
                let plural = if others == 1 { "" } else { "s" };
                format!("{before}{name} and {others} other {kind}{plural}{after}")
            }
            _ => first.what.clone(),
        };
        let mut text = format!("{} {}", head(first, paint), line(&what));
        let others = match first.place {
            Some(_) => self.other_places(names.len() > 1),
            None => self.other_subjects(),
        };
        for other in others {
            text += &format!("\n  {other}");
        }
        let causes = self.shared(|one| &one.causes);
        let hints = self.shared(|one| &one.hints).into_iter().enumerate();
        let hints = hints.map(|(index, hint)| self.merged_hint(index).unwrap_or(hint));
        let causes = causes.iter().map(|cause| (paint(Part::Cause, "cause:"), cause.clone()));
        for (label, words) in causes.chain(hints.map(|hint| (paint(Part::Hint, "hint:"), hint))) {
            text += &format!("\n  {label} {}", line(&words));
        }
        text
    }

    /// Returns the lines of the places after the first.
    fn other_places(&self, has_names: bool) -> Vec<String> {
        let shown = |one: &&Diagnostic| {
            let name = one.subject.as_ref().filter(|_| has_names).map(|subject| format!(": {}", subject.name));
            Some(line(&format!("{}{}", one.place.as_ref()?, name.unwrap_or_default())))
        };
        let mut seen = BTreeSet::new();
        let places: Vec<String> = self.0.iter().filter_map(shown).filter(|place| seen.insert(place.clone())).collect();
        let files: BTreeSet<&str> = self.0.iter().filter_map(|one| Some(&*one.place.as_ref()?.file)).collect();
        let most = if files.len() > 1 { MOST_PLACES } else { places.len() };
        first_of(&places, most, "also at")
    }

    /// Returns the lines of the subjects after the first, unless a hint names them all.
    fn other_subjects(&self) -> Vec<String> {
        let subjects = self.0.iter().filter_map(|one| one.subject.as_deref()).filter(|one| one.hints.is_empty());
        let mut seen = BTreeSet::new();
        let names: Vec<String> = subjects.map(|one| line(&one.name)).filter(|name| seen.insert(name.clone())).collect();
        first_of(&names, MOST_PLACES, "also")
    }

    /// Returns the severity of all its diagnostics.
    pub fn severity(&self) -> Severity {
        self.0.first().map_or(Severity::Error, |first| first.severity)
    }

    /// Returns how many problems it is: one for each place, since each needs its own correction, else one cause.
    pub fn problems(&self) -> usize {
        self.0.iter().filter(|one| one.place.is_some()).count().max(1)
    }

    /// Returns the texts that all diagnostics share. Where they differ, returns the first one's text, marked with its subject.
    fn shared(&self, texts: impl Fn(&Diagnostic) -> &Vec<String>) -> Vec<String> {
        let Some(first) = self.0.first() else { return Vec::new() };
        let shared = |(index, text): (usize, &String)| {
            let is_shared = self.0.iter().all(|one| texts(one).get(index) == Some(text));
            match &first.subject {
                Some(subject) if !is_shared => format!("for {}: {text}", subject.name),
                _ => text.clone(),
            }
        };
        texts(first).iter().enumerate().map(shared).collect()
    }

    fn merged_hint(&self, index: usize) -> Option<String> {
        let hint = |one: &&'_ Diagnostic| {
            one.subject.as_ref()?.hints.iter().find(|(at, _)| *at == index).map(|(_, hint)| hint.clone())
        };
        let hints: Vec<ListHint> = self.0.iter().filter_map(hint).collect();
        let items = hints.iter().map(|hint| hint.item.as_str()).collect();
        Some(hints.first()?.with(&items))
    }
}

/// Returns a line for each of the first `most` after the very first, and one that counts the rest.
fn first_of(all: &[String], most: usize, word: &str) -> Vec<String> {
    let more = all.len().saturating_sub(most);
    let others = all.iter().take(most).skip(1).map(|one| format!("{word} {one}"));
    others.chain((more > 0).then(|| format!("and {more} more"))).collect()
}

fn head(diagnostic: &Diagnostic, paint: &dyn Fn(Part, &str) -> String) -> String {
    let place = diagnostic.place.as_ref().map(|place| line(&format!("{place}:")));
    match (place, diagnostic.severity) {
        (Some(place), Severity::Error) => paint(Part::Error, &place),
        (Some(place), Severity::Warning) => {
            format!("{} {}", paint(Part::Place, &place), paint(Part::Warning, "warning:"))
        }
        (None, Severity::Error) => paint(Part::Error, "error:"),
        (None, Severity::Warning) => paint(Part::Warning, "warning:"),
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Block(vec![self]).text(&|_, text| text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;

    fn text(diagnostics: &[Diagnostic]) -> String {
        let blocks: Vec<String> =
            blocks(diagnostics).iter().map(|block| block.text(&|_, text| text.to_owned())).collect();
        blocks.join("\n")
    }

    fn place(line: usize) -> Place {
        Place { file: "a.yaml".into(), line, column: 5, path: "env.A".into() }
    }

    fn denied(line: usize, name: &str) -> Diagnostic {
        let hint = ListHint {
            before: r#"add {"Resource":"#.into(),
            item: format!("arn:{name}"),
            after: "}".into(),
            is_json: true,
        };
        let of_many = ["access denied: read on ".to_owned(), " (credential `aws`)".to_owned()];
        Diagnostic::error("denied", format!("access denied: read on {name} (credential `aws`)"))
            .at(place(line))
            .cause(format!("AWS says no to {name}"))
            .cause("no policy")
            .hint("look")
            .about(Subject { name: name.to_owned(), kind: "secret", of_many: Some(of_many), hints: Vec::new() })
            .list_hint(hint)
    }

    #[test]
    fn one_cause_is_one_message_with_its_first_places() {
        let missing = |line| Diagnostic::error("gone", "secret not found: gone").at(place(line)).hint("make it");
        let other = Diagnostic::warning("w", "odd").at(place(9));
        let mut found: Vec<Diagnostic> = (1..=7).map(missing).chain([other, missing(7)]).collect();
        let in_one_file = text(&found);
        assert!(in_one_file.contains("also at a.yaml:7:5: env.A\n  hint: make it"), "{in_one_file}");
        found[6].place = Some(Place { file: "b.yaml".into(), ..place(7) });
        found.truncate(8);
        assert_eq!(
            text(&found),
            "a.yaml:1:5: env.A: secret not found: gone\n  also at a.yaml:2:5: env.A\n  also at a.yaml:3:5: env.A\n  \
             also at a.yaml:4:5: env.A\n  also at a.yaml:5:5: env.A\n  and 2 more\n  hint: make it\n\
             a.yaml:9:5: env.A: warning: odd"
        );
    }

    #[test]
    fn subjects_that_share_a_cause_share_its_hint() {
        assert_eq!(
            text(&[denied(1, "a")]),
            "a.yaml:1:5: env.A: access denied: read on a (credential `aws`)\n  cause: AWS says no to a\n  cause: no policy\n  \
             hint: look\n  hint: add {\"Resource\":\"arn:a\"}"
        );
        assert_eq!(
            text(&[denied(1, "a"), denied(2, "b"), denied(3, "a")]),
            "a.yaml:1:5: env.A: access denied: read on a and 1 other secret (credential `aws`)\n  also at a.yaml:2:5: env.A: b\n  \
             also at a.yaml:3:5: env.A: a\n  cause: for a: AWS says no to a\n  cause: no policy\n  hint: look\n  \
             hint: add {\"Resource\":[\"arn:a\",\"arn:b\"]}"
        );
    }

    #[test]
    fn one_subject_at_many_places_keeps_its_message() {
        assert_eq!(
            text(&[denied(1, "a"), denied(2, "a")]),
            "a.yaml:1:5: env.A: access denied: read on a (credential `aws`)\n  also at a.yaml:2:5: env.A\n  \
             cause: AWS says no to a\n  cause: no policy\n  hint: look\n  hint: add {\"Resource\":\"arn:a\"}"
        );
    }
}
