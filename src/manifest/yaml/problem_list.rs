//! Owns the list of problems in one file: in the order of the file, and of bounded length.

use crate::diagnostic::{Diagnostic, Severity};

/// The most problems that are listed; the rest are only counted.
pub const MOST: usize = 10_000;

/// The problems found so far.
#[derive(Default)]
pub struct ProblemList {
    said: Vec<Diagnostic>,
    /// How many there are beyond the listed ones, and how many of these are errors.
    beyond: usize,
    errors_beyond: usize,
    /// The last one beyond the list, so that its finder can add hints to it like to any other.
    last: Option<Diagnostic>,
}

impl ProblemList {
    /// Adds a problem and returns it, for hints.
    pub fn add(&mut self, problem: Diagnostic) -> &mut Diagnostic {
        if self.said.len() < MOST {
            self.said.push(problem);
            let last = self.said.len() - 1;
            return &mut self.said[last];
        }
        self.beyond += 1;
        self.errors_beyond += usize::from(problem.severity == Severity::Error);
        self.last.insert(problem)
    }

    /// Returns how many problems there are.
    pub fn len(&self) -> usize {
        self.said.len() + self.beyond
    }

    /// Tells whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the problems after the first `count`.
    pub fn since(&mut self, count: usize) -> &mut [Diagnostic] {
        self.said.get_mut(count..).unwrap_or_default()
    }

    /// Returns the problems in the order of the file, each once, and at the end how many more there are.
    pub fn into_list(mut self) -> Vec<Diagnostic> {
        self.said.sort_by_key(|problem| problem.place.as_ref().map(|place| (place.line, place.column)));
        self.said.dedup();
        if self.beyond > 0 {
            let what = format!("and {} more problems in this file", self.beyond);
            let more = match self.errors_beyond {
                0 => Diagnostic::warning("more-problems", what),
                _ => Diagnostic::error("more-problems", what),
            };
            let place = self.last.and_then(|last| last.place);
            let more = Diagnostic {
                place: place.map(|place| crate::diagnostic::Place { path: String::new(), ..place }),
                ..more
            };
            self.said.push(more.hint("correct those above, then see what is left"));
        }
        self.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_that_is_full_ends_with_the_number_of_those_left_out() {
        let mut full = ProblemList::default();
        let mut overfull = ProblemList::default();
        for line in 1..=MOST + 1 {
            let place =
                crate::diagnostic::Place { file: "deploy.yaml".to_owned(), line, column: 1, path: "env.A".to_owned() };
            let problem = Diagnostic::warning("w", "w").at(place);
            overfull.add(problem.clone());
            if line <= MOST {
                full.add(problem);
            }
        }
        assert_eq!(full.into_list().len(), MOST);
        let list = overfull.into_list();
        let last = list.last().unwrap();
        assert_eq!((list.len(), last.severity), (MOST + 1, Severity::Warning));
        let place = last.place.as_ref().unwrap();
        assert_eq!((place.line, place.path.as_str()), (MOST + 1, ""));
    }

    #[test]
    fn an_error_among_too_many_warnings_is_an_error_still() {
        let mut found = ProblemList::default();
        for _ in 0..MOST + 2 {
            found.add(Diagnostic::warning("w", format!("{}", found.len())));
        }
        found.add(Diagnostic::error("e", "e"));
        assert_eq!(found.len(), MOST + 3);
        let list = found.into_list();
        let last = list.last().unwrap();
        assert_eq!((list.len(), last.severity), (MOST + 1, Severity::Error));
        assert!(last.what.starts_with("and 3 more problems"), "{last}");
    }
}
