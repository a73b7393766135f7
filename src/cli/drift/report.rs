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
    /// Whether no tag of the engine names it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub untagged: bool,
    /// Whether something was built on top of the baked image, so that a rebake is refused. Of a current image it is not said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub built_on_top: bool,
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

/// What is to be done with an image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Rebake,
    NewBase,
    /// The image below it has to be rebaked.
    BuildAgain,
    /// A secret or version that it needs does not exist any more.
    Gone,
    /// No tag names it, and it holds old values.
    Remove,
    CannotTell,
    Current,
}

impl Group {
    /// The most urgent first.
    pub(super) const ALL: [Group; 7] = [
        Group::Rebake,
        Group::NewBase,
        Group::BuildAgain,
        Group::Gone,
        Group::Remove,
        Group::CannotTell,
        Group::Current,
    ];

    pub(super) fn of(image: &ImageDrift) -> Self {
        match image.status {
            Status::Drifted if image.untagged => Group::Remove,
            Status::Drifted if image.built_on_top => Group::BuildAgain,
            Status::Drifted if image.findings.iter().any(|finding| finding.state.is_gone()) => Group::Gone,
            Status::Drifted if image.needs_base() => Group::NewBase,
            Status::Drifted => Group::Rebake,
            Status::Unknown => Group::CannotTell,
            Status::Current => Group::Current,
        }
    }

    pub(super) fn heading(self) -> &'static str {
        match self {
            Group::Rebake => "rebake",
            Group::NewBase => "bake onto the new base",
            Group::BuildAgain => "build again on the rebaked image",
            Group::Gone => "secret is gone",
            Group::Remove => "remove",
            Group::CannotTell => "cannot tell",
            Group::Current => "current",
        }
    }
}

impl ImageDrift {
    pub(super) fn new(image: String, used_by: Vec<String>, findings: Vec<Finding>) -> Self {
        let (untagged, built_on_top) = (false, false);
        ImageDrift { image, used_by, untagged, built_on_top, status: Status::Current, base: None, findings }
            .with_base(None)
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
        ImageDrift { status: Status::Unknown, ..ImageDrift::new(image, used_by, Vec::new()) }
    }
}

impl Drift {
    pub(super) fn new(images: Vec<ImageDrift>, not_baked: usize, problems: &[Diagnostic]) -> Self {
        Drift { version: 1, images, not_baked, diagnostics: problems.iter().map(Problem::from).collect() }
    }

    /// Returns the images of a group.
    pub(super) fn of(&self, group: Group) -> Vec<&ImageDrift> {
        self.images.iter().filter(|image| Group::of(image) == group).collect()
    }

    /// Returns how many images have a status.
    pub(super) fn count(&self, status: Status) -> usize {
        self.images.iter().filter(|image| image.status == status).count()
    }
}
