//! The figures as a picture: two bars for each step on a scale of seconds, and beside them how many times faster osier is.
//!
//! The scale is logarithmic, because a `log` takes milliseconds and a commit seconds.

use std::ops::Range;
use std::time::Duration;

use osier::bench::{Report, Row};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::super::error::Failure;

/// What stands in the title besides the figures.
pub(super) struct About {
    /// Processor and cores.
    pub(super) machine: String,
    /// The day.
    pub(super) date: String,
}

const WIDTH: u32 = 960;
/// Pixels for the titles above the bars.
const HEAD: u32 = 84;
/// Pixels for the scale and its caption below them.
const FOOT: u32 = 58;
/// Pixels for each step.
const ROW: u32 = 36;
/// Pixels left of the bars for the titles of the steps.
const LEFT: u32 = 210;
/// Pixels right of the bars for the ratios.
const RIGHT: u32 = 84;
/// Where the two bars of a step lie: of osier above, of `ostree` below, as parts of the step's height.
const UPPER: (f64, f64) = (0.14, 0.48);
const LOWER: (f64, f64) = (0.52, 0.86);

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const FAINT: RGBColor = RGBColor(0x6e, 0x77, 0x81);
const GRID: RGBColor = RGBColor(0xe3, 0xe6, 0xea);
const OSIER: RGBColor = RGBColor(0x2e, 0x7d, 0x4f);
const OSTREE: RGBColor = RGBColor(0xb4, 0xbc, 0xc6);

type Canvas<'c> = DrawingArea<SVGBackend<'c>, Shift>;

/// An SVG document.
pub(super) fn draw(report: &Report, about: &About) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(format!("drawing the chart: {error}"));
    let mut document = String::new();
    let height = HEAD + FOOT + ROW * report.rows.len() as u32;
    {
        let canvas = SVGBackend::with_string(&mut document, (WIDTH, height)).into_drawing_area();
        paint(&canvas, report, about).map_err(|error| failed(&error))?;
        canvas.present().map_err(|error| failed(&error))?;
    }
    Ok(document)
}

fn paint(canvas: &Canvas<'_>, report: &Report, about: &About) -> Result<(), Box<dyn std::error::Error>> {
    canvas.fill(&WHITE)?;
    paint_head(canvas, report, about)?;
    let (range, count) = (scale(&report.rows), report.rows.len());
    let mut chart = ChartBuilder::on(canvas)
        .margin_top(HEAD)
        .margin_right(RIGHT)
        .x_label_area_size(FOOT)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(range.clone().log_scale(), (count as f64)..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(8)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_label_style(font(13, FAINT))
        .x_label_formatter(&|seconds| in_units(*seconds))
        .x_desc("time, logarithmic: shorter is better")
        .axis_desc_style(font(13, FAINT))
        .draw()?;
    let bar = |row: usize, (top, bottom): (f64, f64), time: Duration, color: RGBColor| {
        let end = time.as_secs_f64().max(range.start);
        Rectangle::new([(range.start, row as f64 + top), (end, row as f64 + bottom)], color.filled())
    };
    for (number, row) in report.rows.iter().enumerate() {
        let bars = [(UPPER, OSIER, Some(row.osier.median)), (LOWER, OSTREE, row.ostree.as_ref().map(|it| it.median))];
        for (place, color, time) in bars {
            let Some(time) = time else { continue };
            chart.draw_series([bar(number, place, time, color)])?;
            let (x, y) = chart.backend_coord(&(time.as_secs_f64().max(range.start), number as f64 + middle(place)));
            canvas.draw_text(&in_units(time.as_secs_f64()), &at(font(11, FAINT), HPos::Left), (x + 4, y))?;
        }
        let (left, y) = chart.backend_coord(&(range.start, number as f64 + 0.5));
        canvas.draw_text(row.step.title, &at(font(14, INK), HPos::Right), (left - 10, y))?;
        if let Some(ratio) = row.ratio() {
            let color = if ratio >= 1.0 { OSIER } else { RED };
            canvas.draw_text(&times(ratio), &at(font(15, color), HPos::Right), (WIDTH as i32 - 18, y))?;
        }
    }
    Ok(())
}

fn paint_head(canvas: &Canvas<'_>, report: &Report, about: &About) -> Result<(), Box<dyn std::error::Error>> {
    let (osier, tree) = (env!("CARGO_PKG_VERSION"), &report.tree);
    let ostree = report.ostree_version.as_ref().map(|version| format!(" and ostree {version}")).unwrap_or_default();
    canvas.draw_text(&format!("osier {osier}{ostree}"), &at(font(22, INK), HPos::Left), (20, 28))?;
    let subtitle = format!(
        "{}, {}; {} files, {:.0} MB; medians of {} rounds",
        about.machine,
        about.date,
        tree.files,
        tree.bytes as f64 / super::MB,
        report.rounds,
    );
    canvas.draw_text(&subtitle, &at(font(13, FAINT), HPos::Left), (20, 54))?;
    let mut x = LEFT as i32;
    let ostree_takes_part = report.rows.iter().any(|row| row.ostree.is_some());
    for (name, color) in [("osier", OSIER), ("ostree", OSTREE)].into_iter().take(1 + usize::from(ostree_takes_part)) {
        canvas.draw(&Rectangle::new([(x, 71), (x + 12, 81)], color.filled()))?;
        canvas.draw_text(name, &at(font(13, INK), HPos::Left), (x + 18, 76))?;
        x += 84;
    }
    if ostree_takes_part {
        canvas.draw_text("times faster", &at(font(13, FAINT), HPos::Right), (WIDTH as i32 - 18, 76))?;
    }
    Ok(())
}

/// From a power of ten below the shortest time to a little more than the longest.
fn scale(rows: &[Row]) -> Range<f64> {
    let times = rows.iter().flat_map(|row| [Some(row.osier.median), row.ostree.as_ref().map(|it| it.median)]);
    let seconds = times.flatten().map(|time| time.as_secs_f64()).filter(|seconds| *seconds > 0.0);
    let (shortest, longest) =
        seconds.fold((0.01, 0.1), |(low, high), time| (f64::min(low, time), f64::max(high, time)));
    // Room for the figure behind the longest bar.
    10_f64.powf(shortest.log10().floor())..longest * 2.5
}

fn font<'f>(size: u32, color: RGBColor) -> TextStyle<'f> {
    ("sans-serif", size).into_font().color(&color)
}

/// Lines the text up with a point: vertically in the middle.
fn at(style: TextStyle<'_>, horizontal: HPos) -> TextStyle<'_> {
    style.pos(Pos::new(horizontal, VPos::Center))
}

fn middle((top, bottom): (f64, f64)) -> f64 {
    f64::midpoint(top, bottom)
}

/// With two digits that say something.
fn in_units(seconds: f64) -> String {
    match seconds {
        s if s < 0.000_95 => format!("{:.0} µs", s * 1e6),
        s if s < 0.009_5 => format!("{} ms", trimmed(s * 1e3)),
        s if s < 0.95 => format!("{:.0} ms", s * 1e3),
        s if s < 9.95 => format!("{} s", trimmed(s)),
        s => format!("{s:.0} s"),
    }
}

/// With one decimal, if it is not zero.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn times(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.1} ×") } else { format!("{ratio:.0} ×") }
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;
    use super::*;

    fn drawn(report: &Report) -> String {
        let about = About { machine: "2 x Abacus <new>".to_owned(), date: "1 May 2026".to_owned() };
        draw(report, &about).unwrap_or_else(|_| panic!("no chart"))
    }

    /// The texts of the document, in its order.
    fn texts(document: &str) -> Vec<&str> {
        let ends = document.split("</text>").filter_map(|before| Some(before.rsplit_once('>')?.1.trim()));
        ends.filter(|text| !text.is_empty()).collect()
    }

    #[test]
    fn the_chart_names_every_step_and_says_where_it_was_measured() {
        let document = drawn(&report());
        let texts = texts(&document);
        for expected in [
            "osier 0.1.0 and ostree 2022.7",
            "2 x Abacus &lt;new&gt;, 1 May 2026; 20000 files, 300 MB; medians of 5 rounds",
            "first commit, archive",
            "log",
            "2 s",
            "9 s",
            "4.5 ×",
            "6.0 ×",
        ] {
            assert!(texts.contains(&expected), "{expected} is not in {texts:?}");
        }
        assert!(document.starts_with("<svg ") && document.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn without_ostree_there_is_one_bar_for_each_step() {
        let mut alone = report();
        alone.ostree_version = None;
        alone.rows.iter_mut().for_each(|row| row.ostree = None);
        let document = drawn(&alone);
        assert!(!texts(&document).contains(&"times faster"));
        let bars = |document: &str| document.matches("<rect").count();
        // Two bars and a legend's square less.
        assert_eq!(bars(&drawn(&report())) - bars(&document), 3);
    }

    #[test]
    fn times_have_two_digits_and_a_unit() {
        let cases = [(0.000_12, "120 µs"), (0.001, "1 ms"), (0.002_34, "2.3 ms"), (0.0567, "57 ms"), (1.96, "2 s")];
        for (seconds, text) in cases.into_iter().chain([(0.951, "1 s"), (11.35, "11 s")]) {
            assert_eq!(in_units(seconds), text);
        }
    }
}
