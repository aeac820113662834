//! Bars, in SVG. Text and lines take a colour that can be read on white and on black.

use std::fmt::Write;

use crate::cases::{CASES, Case, PACED, case};
use crate::filters::Filter;
use crate::report::{Report, without};
use crate::stats::Summary;

const WIDTH: f64 = 860.0;
/// Where the bars begin.
const LEFT: f64 = 240.0;
const RIGHT: f64 = 110.0;
const ROW: f64 = 22.0;
const TOP: f64 = 56.0;

struct Bar {
    label: String,
    colour: &'static str,
    value: Summary,
    /// Drawn pale up to there: what a request costs without a filter.
    base: f64,
}

/// CPU per request of every case but those that would leave no room for the others.
pub(crate) fn cpu(report: &Report) -> String {
    let shown = CASES.iter().filter(|case| case.filter != Filter::OursCrate);
    let bars = shown.map(|case| Bar {
        label: case.name.into(),
        colour: colour(case),
        value: report.rounds.cpu(case.name),
        base: without(case).map_or(0.0, |none| report.rounds.cpu(none).median),
    });
    svg(
        "CPU of Envoy per request, µs",
        "median; line: the middle half of the rounds; pale: without a filter",
        bars.collect(),
    )
}

/// Latency of the paced cases.
pub(crate) fn latency(report: &Report) -> String {
    let bars = PACED.iter().flat_map(|name| {
        let [p50, p99] = report.rounds.latency(name);
        [("p50", p50), ("p99", p99)].map(|(label, value)| Bar {
            label: format!("{name}, {label}"),
            colour: colour(case(name)),
            value,
            base: 0.0,
        })
    });
    let title = format!("Latency at {} requests a second, µs", report.rounds.rate);
    svg(&title, "median; line: the middle half of the rounds", bars.collect())
}

const fn colour(case: &Case) -> &'static str {
    match case.filter {
        Filter::None => "#8b949e",
        Filter::Noop => "#a371f7",
        Filter::JwtAuthn | Filter::JwtAuthnCached | Filter::JwtAuthnWeb => "#d29922",
        Filter::Ours
        | Filter::OursWeb
        | Filter::OursManyKeys
        | Filter::OursCrate
        | Filter::OursWithoutBodies => "#1f9d8f",
    }
}

fn svg(title: &str, subtitle: &str, bars: Vec<Bar>) -> String {
    let highest = bars.iter().map(|bar| bar.value.high).fold(0.0, f64::max);
    let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value / highest;
    let ys = std::iter::successors(Some(TOP), |y| Some(y + ROW));
    let mut rows = String::new();
    let mut height = TOP;
    for (bar, y) in bars.into_iter().zip(ys) {
        height = y + ROW;
        let Bar { label, colour, value, base } = bar;
        let Summary { median, low, high, .. } = value;
        let (middle, text) = (y + ROW / 2.0, y + ROW / 2.0 + 4.0);
        let pale = base.min(median);
        let _ = writeln!(
            rows,
            "<text x='{:.1}' y='{text:.1}' text-anchor='end'>{label}</text>\
             <rect x='{LEFT}' y='{:.1}' width='{:.1}' height='{:.1}' fill='{colour}' opacity='0.45'/>\
             <rect x='{:.1}' y='{:.1}' width='{:.1}' height='{:.1}' fill='{colour}'/>\
             <line x1='{:.1}' x2='{:.1}' y1='{middle:.1}' y2='{middle:.1}' stroke='#808080' stroke-width='2'/>\
             <text x='{:.1}' y='{text:.1}'>{median:.1}</text>",
            LEFT - 8.0,
            y + 3.0,
            x(pale) - LEFT,
            ROW - 6.0,
            x(pale),
            y + 3.0,
            x(median) - x(pale),
            ROW - 6.0,
            x(low),
            x(high),
            x(high) + 8.0,
        );
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {:.0}' font-family='sans-serif' font-size='12'>\n\
         <style>text {{ fill: #57606a }} @media (prefers-color-scheme: dark) {{ text {{ fill: #b1bac4 }} }}</style>\n\
         <text x='8' y='20' font-size='15' font-weight='bold'>{title}</text>\n<text x='8' y='38'>{subtitle}</text>\n\
         {rows}</svg>\n",
        height + 8.0,
    )
}
