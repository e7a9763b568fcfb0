//! `--verbose`: what the library logs, as lines `OT: …` on standard error, like upstream's.

use log::{LevelFilter, Log, Metadata, Record};

use super::error::warn;

struct Printer;

impl Log for Printer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("osier")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            warn(&format!("OT: {}", record.args()));
        }
    }

    fn flush(&self) {}
}

/// Shows debug lines from now on.
pub(super) fn show() {
    // Nothing else in this program sets a logger, so this fails only when it has been done already.
    if log::set_logger(&Printer).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}
