//! What happened, in numbers, as Prometheus reads them. No vault is named.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Hub, lock, routes::Route};
use crate::remote::hub::Reason;

/// Upper bounds of the histogram, in microseconds.
const BOUNDS: [u64; 12] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// A number that grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened since the hub was started.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    received: Counter,
    sent: Counter,
    connections: AtomicI64,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    requests: BTreeMap<(Route, u16), u64>,
    refusals: BTreeMap<String, u64>,
    latencies: BTreeMap<Route, Latency>,
}

#[derive(Debug, Default)]
struct Latency {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    micros: u64,
}

impl Metrics {
    /// Counts bytes of objects that go out.
    pub(super) fn out(&self) -> Counter {
        self.sent.clone()
    }

    pub(super) fn received(&self, bytes: u64) {
        self.received.add(bytes);
    }

    pub(super) fn connected(&self, by: i64) {
        self.connections.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, reason: Reason) {
        *lock(&self.tables).refusals.entry(reason.code()).or_default() += 1;
    }

    /// Counts a request that was answered after `took`; its body may still be on its way.
    pub(super) fn answered(&self, route: Route, status: u16, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut tables = lock(&self.tables);
        *tables.requests.entry((route, status)).or_default() += 1;
        let latency = tables.latencies.entry(route).or_default();
        latency.count += 1;
        latency.micros = latency.micros.saturating_add(micros);
        for (bucket, bound) in latency.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(micros <= bound);
        }
    }
}

/// Seconds, from microseconds.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl Hub {
    /// All of it, in the text format of Prometheus.
    pub(super) fn metrics_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_metrics(&mut text);
        text
    }

    fn write_metrics(&self, out: &mut String) -> std::fmt::Result {
        let Metrics { received, sent, connections, tables } = &self.metrics;
        let name = "everleaf_hub";
        let connections = connections.load(Ordering::Relaxed);
        writeln!(out, "# TYPE {name}_connections gauge\n{name}_connections {connections}")?;
        writeln!(out, "# TYPE {name}_vaults gauge\n{name}_vaults {}", self.rooms.count())?;
        writeln!(out, "# TYPE {name}_watchers gauge\n{name}_watchers {}", self.rooms.watchers())?;
        writeln!(out, "# TYPE {name}_bytes_total counter")?;
        for (direction, count) in [("in", received), ("out", sent)] {
            writeln!(out, "{name}_bytes_total{{direction=\"{direction}\"}} {}", count.get())?;
        }
        let tables = lock(tables);
        writeln!(out, "# TYPE {name}_requests_total counter")?;
        for ((route, status), count) in &tables.requests {
            let route = route.name();
            writeln!(
                out,
                "{name}_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            )?;
        }
        writeln!(out, "# TYPE {name}_errors_total counter")?;
        for (reason, count) in &tables.refusals {
            writeln!(out, "{name}_errors_total{{reason=\"{reason}\"}} {count}")?;
        }
        writeln!(out, "# TYPE {name}_request_seconds histogram")?;
        for (route, latency) in &tables.latencies {
            let (route, series) = (route.name(), format!("{name}_request_seconds"));
            for (count, bound) in latency.buckets.iter().zip(BOUNDS) {
                let le = Seconds(bound);
                writeln!(out, "{series}_bucket{{route=\"{route}\",le=\"{le}\"}} {count}")?;
            }
            let Latency { count, micros, .. } = latency;
            writeln!(out, "{series}_bucket{{route=\"{route}\",le=\"+Inf\"}} {count}")?;
            writeln!(out, "{series}_sum{{route=\"{route}\"}} {}", Seconds(*micros))?;
            writeln!(out, "{series}_count{{route=\"{route}\"}} {count}")?;
        }
        Ok(())
    }
}
