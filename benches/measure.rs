//! Timing an act and its floor in turns, and what comes of it: a line of JSON, a row of a table, and a
//! chart where a figure was taken at several sizes.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::chart::{self, Line};

/// How many notes a large vault has.
const LARGE: usize = 100_000;

/// What a figure has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// At most this many times its floor.
    Ratio(f64),
    /// At most this many times its floor, and so much more.
    RatioAnd(f64, f64),
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Nothing: it stands there to be seen.
    Shown,
}

impl Target {
    fn is_met(self, measured: f64, floor: Option<f64>) -> Option<bool> {
        match self {
            Self::Ratio(most) => Some(measured <= most * floor?),
            Self::RatioAnd(most, more) => Some(measured <= most * floor? + more),
            Self::AtMost(most) => Some(measured <= most),
            Self::AtLeast(least) => Some(measured >= least),
            Self::Shown => None,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::Ratio(most) => format!("≤ {most} ×"),
            Self::RatioAnd(most, more) => format!("≤ {most} × + {more} {unit}"),
            Self::AtMost(most) => format!("≤ {most} {unit}"),
            Self::AtLeast(least) => format!("≥ {least} {unit}"),
            Self::Shown => String::new(),
        }
    }
}

/// One figure: what was measured, beside what it is measured against.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was done.
    pub act: &'static str,
    /// The size of the vault in notes, for figures of a series.
    pub size: Option<usize>,
    /// What the numbers are.
    pub unit: &'static str,
    /// The median.
    pub measured: f64,
    /// What the floor is, and its median.
    pub floor: Option<(&'static str, f64)>,
    /// What it has to be.
    pub target: Target,
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        self.floor.map(|(_, floor)| self.measured / floor).filter(|ratio| ratio.is_finite())
    }
}

/// What a pair of timings is of.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// What is done.
    pub act: &'static str,
    /// What it is measured against.
    pub floor: &'static str,
    /// The size of the vault in notes, for figures of a series.
    pub size: Option<usize>,
    /// What the ratio has to be; milliseconds, where it has more than a ratio.
    pub target: Target,
    /// How often each of the two is done.
    pub rounds: usize,
}

/// A run of the benchmarks: which of them, and what came of it so far.
pub struct Bench {
    filter: Vec<String>,
    /// Sizes of vaults, in notes.
    pub sizes: Vec<usize>,
    folder: PathBuf,
    lines: File,
    figures: Vec<Figure>,
}

impl Bench {
    /// A run that writes to the folder `bench` of the build.
    pub fn new(filter: Vec<String>, large: bool) -> Self {
        let mut sizes = vec![100, 1_000, 10_000];
        sizes.extend(large.then_some(LARGE));
        let folder = out();
        fs::create_dir_all(&folder).unwrap();
        let lines = File::options().append(true).create(true).open(folder.join("figures.jsonl"));
        Self { filter, sizes, folder, lines: lines.unwrap(), figures: Vec::new() }
    }

    /// Whether large vaults are asked for as well.
    pub fn is_large(&self) -> bool {
        self.sizes.contains(&LARGE)
    }

    /// Whether any of these acts was asked for: one whose name holds a filter, or any without filters.
    pub fn wants(&self, acts: &[&str]) -> bool {
        let asked = |act: &&str| self.filter.iter().any(|part| act.contains(part.as_str()));
        self.filter.is_empty() || acts.iter().any(asked)
    }

    /// Times an act and its floor in turns: the machine's speed drifts, and then only the ratio says
    /// much. Each is told its round, and gives what it took.
    pub fn pair(
        &mut self,
        pair: Pair,
        mut act: impl FnMut(usize) -> Duration,
        mut floor: impl FnMut(usize) -> Duration,
    ) {
        let (mut acts, mut floors) = (Vec::new(), Vec::new());
        for round in 0..pair.rounds {
            acts.push(millis(act(round)));
            floors.push(millis(floor(round)));
        }
        let Pair { act, floor, size, target, .. } = pair;
        let (measured, beneath) = (median(acts), median(floors));
        let floor = Some((floor, beneath));
        self.figure(Figure { act, size, unit: "ms", measured, floor, target });
    }

    /// Notes a figure, and says it.
    pub fn figure(&mut self, figure: Figure) {
        let ratio = figure.ratio();
        let met = figure.target.is_met(figure.measured, figure.floor.map(|(_, floor)| floor));
        let line = json!({
            "act": figure.act,
            "notes": figure.size,
            "unit": figure.unit,
            "measured": figure.measured,
            "floor": figure.floor.map(|(_, floor)| floor),
            "floor_is": figure.floor.map(|(what, _)| what),
            "ratio": ratio,
            "target": figure.target.text(figure.unit),
            "met": met,
        });
        writeln!(self.lines, "{line}").unwrap();
        println!("{}", row(&figure, met));
        self.figures.push(figure);
    }

    /// Draws the series, and says where all of it is.
    pub fn finish(self) {
        let mut acts: Vec<&'static str> = Vec::new();
        for figure in self.figures.iter().filter(|figure| figure.size.is_some()) {
            if !acts.contains(&figure.act) {
                acts.push(figure.act);
            }
        }
        for act in acts {
            let of = |value: fn(&Figure) -> Option<f64>| -> Vec<(f64, f64)> {
                let figures = self.figures.iter().filter(|figure| figure.act == act);
                let point = |f: &Figure| Some((number(f.size?), value(f)?));
                figures.filter_map(point).collect()
            };
            let unit = self.figures.iter().find(|figure| figure.act == act).unwrap().unit;
            let lines = [
                Line { name: "everleaf", points: of(|figure| Some(figure.measured)) },
                Line { name: "floor", points: of(|figure| Some(figure.floor?.1)) },
            ];
            if lines[0].points.len() > 1 {
                let name: String =
                    act.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
                let path = self.folder.join(format!("{name}.svg"));
                fs::write(&path, chart::draw(act, unit, &lines)).unwrap();
            }
        }
        println!("\nfigures and charts: {}", self.folder.display());
    }
}

/// Where figures, charts and generated vaults are kept: `target/bench`.
pub fn out() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("bench")
}

/// How long something takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    std::hint::black_box(work());
    started.elapsed()
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A count as a number among measurements; far below what an `f64` can't tell apart.
#[expect(clippy::cast_precision_loss, reason = "no count here is near 2^52")]
pub fn number(count: usize) -> f64 {
    count as f64
}

/// A row of the table in `benches/README.md`.
fn row(figure: &Figure, met: Option<bool>) -> String {
    let mut row = format!("| {}", figure.act);
    if let Some(size) = figure.size {
        let _ = write!(row, ", {size} notes");
    }
    let _ = write!(row, " | {} {}", short(figure.measured), figure.unit);
    match figure.floor {
        Some((what, floor)) => {
            let _ = write!(row, " | {} {}, {what}", short(floor), figure.unit);
        }
        None => row.push_str(" | "),
    }
    let ratio = figure.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2} ×"));
    let met = met.map_or("", |met| if met { "met" } else { "**missed**" });
    let _ = write!(row, " | {ratio} | {} | {met} |", figure.target.text(figure.unit));
    row
}

/// Three digits, about.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
