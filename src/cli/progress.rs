//! Owns the bars on a terminal. Where standard error is none, there is not a byte of them.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Global;
use super::environment::Environment;
use crate::runtime::progress::{Counted, Progress, Watcher};

/// How often a second the bars are drawn, at most.
const DRAWN: u8 = 10;

/// Returns the way to the bars, or to nobody where there is no terminal to draw them on, or a log is written there.
pub(super) fn on_terminal(global: &Global, environment: &Environment) -> Progress {
    let is_logged_to = global.log.is_some() || environment.log.is_some();
    let draws = environment.term.as_deref() != Some("dumb") && std::io::stderr().is_terminal();
    match draws && !is_logged_to {
        true => Progress::to(Arc::new(Bars::new())),
        false => Progress::default(),
    }
}

/// One bar for each kind of work that there is; they are wiped when the run is over, however it ends.
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<Counted, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWN));
        Bars { all, bars: Mutex::default() }
    }

    fn bar(&self, what: Counted) -> ProgressBar {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        bars.entry(what).or_insert_with(|| self.all.add(ProgressBar::new(0).with_style(style(what)))).clone()
    }
}

impl Watcher for Bars {
    fn expect(&self, what: Counted, more: u64) {
        let bar = self.bar(what);
        bar.inc_length(more);
        bar.tick();
    }

    fn done(&self, what: Counted, more: u64) {
        self.bar(what).inc(more);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // a terminal that is gone needs no wiping
        let _ = self.all.clear();
    }
}

fn style(what: Counted) -> ProgressStyle {
    let template = match what {
        Counted::Secrets => "reading secrets {wide_bar} {pos}/{len}",
        Counted::Images => "baking images   {wide_bar} {pos}/{len}",
        Counted::Bytes => "copying layers  {wide_bar} {bytes}/{total_bytes}",
        Counted::Pushed => "pushing layers  {wide_bar} {bytes}/{total_bytes}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
