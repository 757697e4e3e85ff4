//! A chart of one figure over the sizes of vaults, as SVG: both axes logarithmic, so that what costs
//! the same however large a vault is lies flat.

use std::fmt::Write as _;

/// Points of one colour.
pub struct Line {
    /// What they are of.
    pub name: &'static str,
    /// Size and value.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const EDGE: (f64, f64) = (70.0, 40.0);
const COLOURS: [&str; 2] = ["#2a7d4f", "#999"];

/// The exponents of ten around some values.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let logs: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
    let least = logs.iter().copied().fold(f64::INFINITY, f64::min).floor();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
    (least, most.max(least + 1.0))
}

/// Draws lines over sizes in notes.
pub fn draw(title: &str, unit: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (left, right) = decades(points().map(|point| point.0));
    let (low, high) = decades(points().map(|point| point.1));
    let x = |size: f64| EDGE.0 + (size.log10() - left) / (right - left) * (WIDTH - EDGE.0 - EDGE.1);
    let y = |value: f64| {
        HEIGHT - EDGE.1 - (value.log10() - low) / (high - low) * (HEIGHT - 2.0 * EDGE.1)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{}\" y=\"20\" font-size=\"14\">{title} ({unit})</text>\n",
        EDGE.0
    );
    let mut exponent = left;
    while exponent <= right {
        let at = x(10_f64.powf(exponent));
        let _ = writeln!(
            svg,
            "<text x=\"{at:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{} notes</text>",
            HEIGHT - 15.0,
            10_f64.powf(exponent)
        );
        exponent += 1.0;
    }
    let mut exponent = low;
    while exponent <= high {
        let at = y(10_f64.powf(exponent));
        let _ = writeln!(
            svg,
            "<path d=\"M{} {at:.0}H{}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
            EDGE.0,
            WIDTH - EDGE.1,
            EDGE.0 - 6.0,
            at + 4.0,
            10_f64.powf(exponent)
        );
        exponent += 1.0;
    }
    for (line, colour) in lines.iter().zip(COLOURS).filter(|(line, _)| !line.points.is_empty()) {
        let mut path = String::new();
        for (index, (size, value)) in line.points.iter().enumerate() {
            let step = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{step}{:.1} {:.1}", x(*size), y(*value));
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\">\
                 <title>{size} notes: {value:.3} {unit}</title></circle>",
                x(*size),
                y(*value)
            );
        }
        let (size, value) = line.points[line.points.len() - 1];
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
            x(size),
            y(value) - 8.0,
            line.name
        );
    }
    svg + "</svg>\n"
}
