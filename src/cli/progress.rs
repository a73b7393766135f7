//! Owns the progress bars, which only a terminal shows.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Global;
use super::environment::Environment;
use crate::diagnostic::ForeignText;
use crate::runtime::progress::{Counted, Progress, Watcher};

/// How often a second the bars are drawn, at most.
const DRAWN: u8 = 10;
/// How often the elapsed time is drawn if nothing else changes.
const TICK: Duration = Duration::from_secs(1);

/// Returns the bars, or nothing if there is no terminal to draw them on or it is not theirs alone.
pub(super) fn on_terminal(global: &Global, environment: &Environment) -> Progress {
    let is_quiet = global.quiet || global.log_filter(environment).is_some();
    let draws = environment.term.as_deref() != Some("dumb") && std::io::stderr().is_terminal();
    match draws && !is_quiet {
        true => Progress::to(Arc::new(Bars::new())),
        false => Progress::default(),
    }
}

/// One bar for each kind of work. They are wiped when the run is over, however it ends.
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
        let new = || {
            let bar = self.all.add(ProgressBar::new(0).with_style(style(what)));
            bar.enable_steady_tick(TICK);
            bar
        };
        bars.entry(what).or_insert_with(new).clone()
    }
}

impl Watcher for Bars {
    fn expect(&self, what: Counted, more: u64) {
        let bar = self.bar(what);
        bar.inc_length(more);
        bar.tick();
    }

    fn done(&self, what: Counted, more: u64) {
        let bar = self.bar(what);
        bar.inc(more);
        // drawn at once, so that the bar is seen at its total before the next work begins
        if what == Counted::Secrets && Some(bar.position()) == bar.length() {
            bar.abandon();
        }
    }

    fn now(&self, what: Counted, file: &str) {
        self.bar(what).set_message(ForeignText::new(file).to_string());
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        let bars = self.bars.get_mut().unwrap_or_else(PoisonError::into_inner);
        for bar in bars.values() {
            bar.disable_steady_tick();
            // one that reached its total would be drawn again when the others go
            bar.finish_and_clear();
        }
        // a terminal that is gone needs no wiping
        let _ = self.all.clear();
    }
}

fn style(what: Counted) -> ProgressStyle {
    let template = match what {
        Counted::Secrets => "reading secrets {wide_bar} {pos}/{len} {elapsed}",
        Counted::Images => "baking images   {wide_bar} {pos}/{len} {elapsed} {msg:24!}",
        Counted::Bytes => "copying layers  {wide_bar} {bytes}/{total_bytes} {elapsed}",
        Counted::Pushed => "pushing layers  {wide_bar} {bytes}/{total_bytes} {elapsed}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
