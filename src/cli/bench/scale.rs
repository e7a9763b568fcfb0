//! The figures of `bench --scale`, as Markdown.

use std::fmt::Write as _;

use osier::bench::{ScaleReport, ScaleRow, ShapeReport};

use super::MB;

pub(super) fn of_report(report: &ScaleReport, machine: &str) -> String {
    let mut text = format!("{machine}\n");
    for shape in &report.shapes {
        text.push('\n');
        text.push_str(&of_shape(shape));
    }
    text
}

fn of_shape(shape: &ShapeReport) -> String {
    let mut text = format!("| {} |", shape.unit);
    for size in &shape.sizes {
        let _ = write!(text, " {} | memory |", grouped(*size));
    }
    text.push_str(" growth | bytes each |\n| --- |");
    text.push_str(&" ---: |".repeat(2 * shape.sizes.len() + 2));
    text.push('\n');
    for row in &shape.rows {
        text.push_str(&of_row(shape, row));
    }
    if let Some(reason) = &shape.skipped {
        let _ = writeln!(text, "\nNot measured: {reason}.");
    }
    text
}

fn of_row(shape: &ShapeReport, row: &ScaleRow) -> String {
    let mut text = format!("| {} |", row.operation);
    for run in &row.runs {
        let _ = write!(
            text,
            " {:.3} s | {:.0} MB |",
            run.time.as_secs_f64(),
            run.peak_memory as f64 / MB
        );
    }
    let number = |number: Option<f64>, decimals: usize| {
        // Small variations in memory must not look like savings.
        number.map_or_else(|| "-".to_owned(), |number| format!("{:.decimals$}", number.max(0.0)))
    };
    let _ = writeln!(
        text,
        " {} | {} |",
        number(shape.growth(row), 2),
        number(shape.bytes_each(row), 0)
    );
    text
}

/// With a comma between groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use osier::bench::Measurement;

    use super::*;

    #[test]
    fn each_size_has_two_columns() {
        let run = |milliseconds, peak_memory| Measurement {
            time: Duration::from_millis(milliseconds),
            peak_memory,
            ..Measurement::default()
        };
        let runs = vec![run(100, 10_000_000), run(1200, 19_000_000)];
        let shape = ShapeReport {
            unit: "objects",
            sizes: vec![10_000, 100_000],
            rows: vec![ScaleRow { operation: "fsck", runs }],
            skipped: Some("1000000 objects have no room".to_owned()),
        };
        let text = of_report(&ScaleReport { shapes: vec![shape] }, "2 x Abacus");
        let expected = "2 x Abacus\n\n\
            | objects | 10,000 | memory | 100,000 | memory | growth | bytes each |\n\
            | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n\
            | fsck | 0.100 s | 10 MB | 1.200 s | 19 MB | 1.20 | 100 |\n\n\
            Not measured: 1000000 objects have no room.\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([7, 999, 1000, 1_234_567].map(grouped), ["7", "999", "1,000", "1,234,567"]);
    }
}
