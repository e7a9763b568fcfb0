//! The figures as a picture: how many times faster osier is in each step, as a dot on a scale of
//! factors, and the goal as a mark on the same line. Without an `ostree` to compare with, bars of
//! seconds.
//!
//! Equal distances on the scale of factors are equal factors, so nothing starts at its left end:
//! dots have a place, but no length. The bars of seconds start at 0.

use std::fmt::Write as _;

use osier::bench::{Report, Row};

/// The parts of the title besides the figures.
pub(super) struct About {
    /// The processor and its number of cores.
    pub(super) machine: String,
    /// The day.
    pub(super) date: String,
}

const WIDTH: f64 = 960.0;
/// The height above the rows, for the titles and the legend.
const HEAD: f64 = 104.0;
/// The height below them, for the scale and its caption.
const FOOT: f64 = 58.0;
const ROW: f64 = 28.0;
/// The ends of the scale; the steps are left of it, the figures right of it.
const LEFT: f64 = 220.0;
const RIGHT: f64 = 700.0;
/// Columns of figures, by their right ends: the factor, and the times of osier and `ostree`.
const COLUMNS: [f64; 3] = [772.0, 856.0, 940.0];
const DOT: f64 = 6.0;

/// The factors that the scale may name.
const FACTORS: [f64; 12] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

/// Colours by role, for light and for dark pages. Slower steps and missed goals also have other
/// shapes.
const STYLE: &str = "
    text { font: 14px sans-serif; fill: #24292f }
    .page { fill: #ffffff }
    .title { font-size: 20px; font-weight: bold }
    .small { font-size: 12.5px }
    .faint { fill: #59636e }
    .end { text-anchor: end }
    .middle { text-anchor: middle }
    .strong { font-weight: bold }
    .grid { stroke: #d8dee4 }
    .one { stroke: #59636e }
    .dot { fill: #1a7f45; stroke: #1a7f45; stroke-width: 2 }
    .slower { fill: none; stroke: #cf222e }
    .goal { stroke: #9a5b00; stroke-width: 3 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .page { fill: #0d1117 }
      .faint { fill: #9198a1 }
      .grid { stroke: #30363d }
      .one { stroke: #9198a1 }
      .dot { fill: #3fb96c; stroke: #3fb96c }
      .slower { fill: none; stroke: #ff7b72 }
      .goal { stroke: #e3a23c }
    }
";

/// An SVG document.
pub(super) fn draw(report: &Report, about: &About) -> String {
    let bottom = HEAD + ROW * report.rows.len() as f64;
    let height = bottom + FOOT;
    let (title, subtitle) = (title(report), subtitle(report, about));
    let compares = report.rows.iter().any(|row| row.ratio().is_some());
    let scale =
        if compares { Scale::of_factors(&report.rows) } else { Scale::of_seconds(&report.rows) };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"title desc\">\n<title \
         id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n<style>{STYLE}</style>\n<rect \
         class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
        escaped(&title),
        escaped(&format!("{subtitle}. {}", description(&report.rows))),
    );
    text(&mut svg, (20.0, 28.0), "title", &title);
    text(&mut svg, (20.0, 54.0), "small faint", &subtitle);
    for (value, label) in &scale.labels {
        let x = scale.place(*value);
        let class = if compares && *value == 1.0 { "one" } else { "grid" };
        line(&mut svg, class, (x, HEAD), (x, bottom));
        text(&mut svg, (x, bottom + 16.0), "small faint middle", label);
    }
    let caption = match compares {
        true => "times faster than ostree; equal distances are equal factors",
        false => "seconds, median",
    };
    text(&mut svg, (f64::midpoint(LEFT, RIGHT), bottom + 40.0), "small faint middle", caption);
    legend(&mut svg, compares);
    for (number, row) in report.rows.iter().enumerate() {
        draw_row(&mut svg, row, HEAD + ROW * (number as f64 + 0.5), &scale);
    }
    svg.push_str("</svg>\n");
    svg
}

fn title(report: &Report) -> String {
    let ostree = report
        .ostree_version
        .as_ref()
        .map(|version| format!(" and ostree {version}"))
        .unwrap_or_default();
    format!("osier {}{ostree}", env!("CARGO_PKG_VERSION"))
}

fn subtitle(report: &Report, About { machine, date }: &About) -> String {
    let (tree, rounds) = (&report.tree, report.rounds);
    format!(
        "{machine}, {date}; {} files, {:.0} MB; medians of {rounds} rounds",
        tree.files,
        tree.bytes as f64 / super::MB
    )
}

/// A description of the picture.
fn description(rows: &[Row]) -> String {
    let of_row = |row: &Row| match row.ratio() {
        Some(ratio) => format!(
            "{}: {} as fast, the goal is {}",
            row.step.title,
            times(ratio),
            times(row.step.goal)
        ),
        None => format!("{}: {}", row.step.title, in_units(row.osier.median.as_secs_f64())),
    };
    rows.iter().map(of_row).collect::<Vec<_>>().join("; ")
}

fn legend(svg: &mut String, compares: bool) {
    let (y, small) = (HEAD - 16.0, "small faint end");
    if compares {
        let _ =
            writeln!(svg, "<circle class=\"dot\" cx=\"{}\" cy=\"{y}\" r=\"{DOT}\"/>", LEFT + DOT);
        text(svg, (LEFT + 20.0, y), "small", "osier");
        line(svg, "goal", (LEFT + 84.0, y - 8.0), (LEFT + 84.0, y + 8.0));
        text(svg, (LEFT + 96.0, y), "small", "goal");
        text(svg, (COLUMNS[0], y), small, "faster");
        text(svg, (COLUMNS[2], y), small, "ostree");
    }
    text(svg, (COLUMNS[1], y), small, "osier");
}

fn draw_row(svg: &mut String, row: &Row, y: f64, scale: &Scale) {
    text(svg, (LEFT - 14.0, y), "end", row.step.title);
    let seconds = row.osier.median.as_secs_f64();
    match row.ratio() {
        Some(ratio) => {
            line(svg, "grid", (LEFT, y), (RIGHT, y));
            let (goal, x) = (scale.place(row.step.goal), scale.place(ratio));
            let class = if ratio < 1.0 { "dot slower" } else { "dot" };
            let _ =
                writeln!(svg, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y}\" r=\"{DOT}\"/>");
            // Above the dot, so that it is visible where both coincide.
            line(svg, "goal", (goal, y - 11.0), (goal, y + 11.0));
            text(svg, (COLUMNS[0], y), "strong end", &times(ratio));
        }
        None if scale.is_of_factors => {}
        None => {
            let width = scale.place(seconds) - LEFT;
            let (top, height) = (y - ROW * 0.3, ROW * 0.6);
            let _ = writeln!(
                svg,
                "<rect class=\"dot\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" \
                 height=\"{height:.1}\"/>"
            );
        }
    }
    text(svg, (COLUMNS[1], y), "small end", &in_units(seconds));
    if let Some(ostree) = &row.ostree {
        text(svg, (COLUMNS[2], y), "small faint end", &in_units(ostree.median.as_secs_f64()));
    }
}

/// From values to places between [`LEFT`] and [`RIGHT`].
struct Scale {
    first: f64,
    last: f64,
    is_of_factors: bool,
    labels: Vec<(f64, String)>,
}

impl Scale {
    /// From the last named factor below all values, and at most 1, to the first one above them.
    fn of_factors(rows: &[Row]) -> Self {
        let values = || rows.iter().filter_map(|row| Some([row.ratio()?, row.step.goal])).flatten();
        let (least, most) = (values().fold(1.0, f64::min), values().fold(2.0, f64::max));
        let first = FACTORS.iter().rev().find(|factor| **factor <= least).unwrap_or(&FACTORS[0]);
        let last =
            FACTORS.iter().find(|factor| **factor >= most).unwrap_or(&FACTORS[FACTORS.len() - 1]);
        let shown = FACTORS.iter().filter(|factor| (first..=last).contains(factor));
        let labels = shown.map(|factor| (*factor, format!("{factor}×"))).collect();
        Self { first: first.ln(), last: last.ln(), is_of_factors: true, labels }
    }

    /// From 0 to a round number of which the longest time is no less than half.
    fn of_seconds(rows: &[Row]) -> Self {
        let longest = rows.iter().map(|row| row.osier.median.as_secs_f64()).fold(0.001, f64::max);
        let power = 10_f64.powf(longest.log10().floor());
        let step = [0.2, 0.5, 1.0, 2.0].map(|part| part * power);
        let step = step.into_iter().find(|step| step * 5.0 >= longest).unwrap_or(power * 2.0);
        let labels = (0..=5)
            .map(|number| f64::from(number) * step)
            .map(|value| (value, in_units(value)))
            .collect();
        Self { first: 0.0, last: step * 5.0, is_of_factors: false, labels }
    }

    fn place(&self, value: f64) -> f64 {
        let value = if self.is_of_factors { value.ln() } else { value };
        LEFT + (RIGHT - LEFT) * ((value - self.first) / (self.last - self.first)).clamp(0.0, 1.0)
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" dy=\"0.35em\" class=\"{class}\">{}</text>",
        escaped(text)
    );
}

fn line(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// With two significant digits.
fn in_units(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
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
    if ratio < 10.0 { format!("{ratio:.1}×") } else { format!("{ratio:.0}×") }
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;
    use super::*;

    fn drawn(report: &Report) -> String {
        let about = About { machine: "2 x Abacus <new>".to_owned(), date: "1 May 2026".to_owned() };
        draw(report, &about)
    }

    /// The value of an attribute in each element with this beginning.
    fn attributes(document: &str, element: &str, attribute: &str) -> Vec<f64> {
        let elements = document.split(element).skip(1);
        let value = |rest: &str| {
            let (value, _) = rest.split_once(&format!("{attribute}=\""))?.1.split_once('"')?;
            value.parse().ok()
        };
        elements.map(|rest| value(rest).unwrap()).collect()
    }

    /// The texts of the document, in its order.
    fn texts(document: &str) -> Vec<&str> {
        let ends =
            document.split("</text>").filter_map(|before| Some(before.rsplit_once('>')?.1.trim()));
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
            "4.5×",
            "6.0×",
            "goal",
        ] {
            assert!(texts.contains(&expected), "{expected} is not in {texts:?}");
        }
        assert!(document.starts_with("<svg ") && document.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn the_chart_has_a_title_and_a_description_and_colours_for_dark_pages() {
        let document = drawn(&report());
        assert!(
            document.contains("<title id=\"title\">osier 0.1.0 and ostree 2022.7</title>"),
            "{document}"
        );
        let desc =
            document.split("<desc id=\"desc\">").nth(1).unwrap().split("</desc>").next().unwrap();
        assert!(
            desc.contains("first commit, archive: 4.5× as fast, the goal is 5.0×; log: 6.0×"),
            "{desc}"
        );
        assert!(document.contains("@media (prefers-color-scheme: dark)"));
        assert!(!document.contains("fill=\""), "a colour that is the same on every page");
    }

    #[test]
    fn equal_factors_are_equal_distances() {
        let mut report = report();
        let seconds = std::time::Duration::from_secs;
        // 1, 2 and 4 times faster.
        report.rows.push(report.rows[0].clone());
        for (row, ostree) in report.rows.iter_mut().zip([4, 8, 16]) {
            row.osier.median = seconds(4);
            row.ostree.as_mut().unwrap().median = seconds(ostree);
        }
        // The first dot is that of the legend.
        let dots = attributes(&drawn(&report), "<circle", "cx").split_off(1);
        let [one, two, four] = dots[..] else { panic!("{dots:?}") };
        assert_eq!(one, LEFT);
        assert!(two > one && (four - two - (two - one)).abs() < 0.2, "{dots:?}");
    }

    #[test]
    fn a_slower_step_stands_left_of_one_in_another_shape() {
        let mut report = report();
        report.rows[1].ostree.as_mut().unwrap().median = std::time::Duration::from_millis(1);
        let document = drawn(&report);
        let one = attributes(&document, "<line class=\"one\"", "x1");
        let slower = attributes(&document, "<circle class=\"dot slower\"", "cx");
        assert!(slower.len() == 1 && slower[0] < one[0], "{slower:?} {one:?}");
    }

    #[test]
    fn without_ostree_bars_have_the_length_of_their_times() {
        let mut alone = report();
        alone.ostree_version = None;
        alone.rows.iter_mut().for_each(|row| row.ostree = None);
        alone.rows[1].osier.median = alone.rows[0].osier.median / 4;
        let document = drawn(&alone);
        assert!(!texts(&document).contains(&"faster") && !document.contains("<circle"));
        let bars = attributes(&document, "<rect class=\"dot\"", " width");
        assert!(bars.len() == 2 && (bars[0] - 4.0 * bars[1]).abs() < 0.5, "{bars:?}");
    }

    #[test]
    fn times_have_two_digits_and_a_unit() {
        let cases = [
            (0.000_12, "120 µs"),
            (0.001, "1 ms"),
            (0.002_34, "2.3 ms"),
            (0.0567, "57 ms"),
            (1.96, "2 s"),
        ];
        for (seconds, text) in cases.into_iter().chain([(0.951, "1 s"), (11.35, "11 s")]) {
            assert_eq!(in_units(seconds), text);
        }
    }
}
