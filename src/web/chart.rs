//! What happened over time, drawn as SVG: one strip for each kind, above one another, by the same time.

use maud::{Markup, html};

use super::tally::Counts;
use crate::{
    clock::Timestamp,
    units::{size, time},
};

const WIDTH: f64 = 720.0;
const STRIP: f64 = 74.0;
const PLOT: f64 = 46.0;
const TOP: f64 = 20.0;

/// One kind of thing that happened.
struct Strip {
    name: &'static str,
    class: &'static str,
    values: Vec<u64>,
    /// What all of it comes to.
    sum: String,
}

/// Draws the picture, with a table of the same for those who can't see it.
pub(super) fn draw(spans: &[(Timestamp, Counts)]) -> Markup {
    let (Some((first, _)), Some((last, _))) = (spans.first(), spans.last()) else {
        return html! { p.empty { "Nothing has happened yet." } };
    };
    let strips = strips(spans);
    let height = STRIP * count(strips.len()) + 18.0;
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-labelledby="chart-title" {
                title #chart-title {
                    "Edits, uploads and bytes that needed no upload, from " (time(*first)) " to " (time(*last))
                }
                @for (index, strip) in strips.iter().enumerate() {
                    (drawn(strip, STRIP * count(index)))
                }
                text x="0" y=(height - 3.0) { (time(*first)) }
                @if spans.len() > 1 {
                    text x=(WIDTH) y=(height - 3.0) text-anchor="end" { (time(*last)) }
                }
            }
            details {
                summary { "The same as a table" }
                (table(spans))
            }
        }
    }
}

fn strips(spans: &[(Timestamp, Counts)]) -> [Strip; 3] {
    let values = |of: fn(&Counts) -> u64| spans.iter().map(|(_, counts)| of(counts)).collect();
    let (edits, uploads): (Vec<u64>, Vec<u64>) = (values(|c| c.edits), values(|c| c.uploads));
    let saved: Vec<u64> = values(|c| c.saved);
    let sum = |values: &[u64]| values.iter().sum::<u64>();
    [
        Strip { sum: sum(&edits).to_string(), name: "Edits", class: "edits", values: edits },
        Strip {
            sum: sum(&uploads).to_string(),
            name: "Uploads",
            class: "uploads",
            values: uploads,
        },
        Strip {
            sum: size(sum(&saved)),
            name: "Saved: the remote held the image already",
            class: "saved",
            values: saved,
        },
    ]
}

fn drawn(strip: &Strip, top: f64) -> Markup {
    let (base, most) = (top + TOP + PLOT, strip.values.iter().copied().max().unwrap_or(0));
    let step = WIDTH / count(strip.values.len().max(1));
    // A lone bar is no wall.
    let wide = (step * 0.76).min(26.0);
    let bars = strip.values.iter().enumerate().filter(|(_, value)| **value > 0);
    html! {
        text.name x="0" y=(top + 13.0) { (strip.name) }
        text.sum x=(WIDTH) y=(top + 13.0) text-anchor="end" { (strip.sum) }
        g class=(strip.class) {
            @for (index, value) in bars {
                // What is there at all is seen.
                @let tall = (PLOT * part(*value, most)).max(2.0);
                rect x=(round(count(index) * step + (step - wide) / 2.0)) y=(round(base - tall))
                    width=(round(wide)) height=(round(tall)) rx="1.5" {}
            }
        }
        line x1="0" x2=(WIDTH) y1=(base + 0.5) y2=(base + 0.5) {}
    }
}

fn table(spans: &[(Timestamp, Counts)]) -> Markup {
    let some = spans.iter().filter(|(_, counts)| *counts != Counts::default());
    html! {
        div.scroll tabindex="0" role="region" aria-label="What happened over time" {
            table {
                thead { tr {
                    th scope="col" { "From" } th scope="col" { "Edits" }
                    th scope="col" { "Uploads" } th scope="col" { "Saved" }
                } }
                tbody {
                    @for (at, counts) in some {
                        tr {
                            th scope="row" { (time(*at)) }
                            td { (counts.edits) } td { (counts.uploads) } td { (size(counts.saved)) }
                        }
                    }
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few spans")]
const fn count(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "a height in a picture")]
fn part(value: u64, most: u64) -> f64 {
    if most == 0 { 0.0 } else { value as f64 / most as f64 }
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
