//! Owns what `drift` found, as its outputs print it.

use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::diagnostic::json::Problem;
use crate::ops::drift::base::{BaseFinding, BaseState};
use crate::ops::drift::{Finding, State};

/// What `drift` found, version 1.
#[derive(Serialize)]
pub(super) struct Drift {
    pub version: u32,
    pub images: Vec<ImageDrift>,
    /// How many images of a fleet secretbake did not bake.
    pub not_baked: usize,
    pub diagnostics: Vec<Problem>,
}

/// One image.
#[derive(Serialize)]
pub(super) struct ImageDrift {
    pub image: String,
    /// What runs it, as far as a fleet says so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
    pub status: Status,
    /// Only if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseFinding>,
    pub findings: Vec<Finding>,
}

/// What is to be done with an image, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Drifted,
    Unknown,
    Current,
}

impl ImageDrift {
    pub(super) fn new(image: String, used_by: Vec<String>, findings: Vec<Finding>) -> Self {
        ImageDrift { image, used_by, status: Status::Current, base: None, findings }.with_base(None)
    }

    /// Adds what is known of the base.
    pub(super) fn with_base(mut self, base: Option<BaseFinding>) -> Self {
        let any = |test: fn(State) -> bool| self.findings.iter().any(|finding| test(finding.state));
        let of_base = |test: fn(BaseState) -> bool| base.as_ref().is_some_and(|base| test(base.state));
        self.status = match (any(State::drifted), any(State::untold)) {
            (drifted, _) if drifted || of_base(BaseState::drifted) => Status::Drifted,
            (_, untold) if untold || of_base(BaseState::untold) => Status::Unknown,
            _ => Status::Current,
        };
        self.base = base;
        self
    }

    /// Tells whether a rebake is not enough: the base is another one now.
    pub(super) fn needs_base(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.state.drifted())
    }

    /// Returns an image that nothing is known about. The run's problems say why.
    pub(super) fn unknown(image: String, used_by: Vec<String>) -> Self {
        ImageDrift { image, used_by, status: Status::Unknown, base: None, findings: Vec::new() }
    }
}

impl Drift {
    pub(super) fn new(images: Vec<ImageDrift>, not_baked: usize, problems: &[Diagnostic]) -> Self {
        Drift { version: 1, images, not_baked, diagnostics: problems.iter().map(Problem::from).collect() }
    }

    /// Returns how many images have a status.
    pub(super) fn count(&self, status: Status) -> usize {
        self.images.iter().filter(|image| image.status == status).count()
    }
}
