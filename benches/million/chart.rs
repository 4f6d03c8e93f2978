//! The chart of the curves: readable on a light page and on a dark one.

use std::fmt::Write;

use crate::tables::{Curve, Found, thousands};

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 470.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 300.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 52.0;
/// The least distance of two names, and the room of a name.
const LINE: f64 = 16.0;
/// The colours of curves, on dark and on light.
const COLOURS: [(&str, &str); 12] = [
    ("#7daea3", "#1f6f80"),
    ("#a9b665", "#4d7c1a"),
    ("#d8a657", "#96640a"),
    ("#d3869b", "#a0386a"),
    ("#89b482", "#2d7d5f"),
    ("#e78a4e", "#b3521e"),
    ("#928374", "#7c6f64"),
    ("#b4a7e0", "#5b4bb0"),
    ("#c9c96a", "#6e6e10"),
    ("#ea6962", "#b3261e"),
    ("#f0a0c0", "#c02070"),
    ("#c0c0c0", "#505050"),
];

/// The whole picture.
pub fn draw(found: &Found) -> String {
    let curves = found.curves();
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let most = all().map(|(at, _)| *at).max().unwrap_or(10).max(10) as f64;
    let least = all().map(|(at, _)| *at).min().unwrap_or(1).max(1) as f64;
    let top = all().map(|(_, micros)| *micros).fold(1.0, f64::max).ceil();
    let x = |at: usize| {
        let share = (at.max(1) as f64 / least).ln() / (most / least).ln();
        LEFT + share * (WIDTH - LEFT - RIGHT)
    };
    let y = |micros: f64| HEIGHT - BOTTOM - micros / top * (HEIGHT - TOP - BOTTOM);
    let mut svg = head(curves.len());
    let _ = writeln!(
        svg,
        "<text class=\"text bold\" x=\"{LEFT}\" y=\"26\">CPU of the node for a message, µs</text>"
    );
    let step = if top > 6.0 { 2.0 } else { 1.0 };
    let mut micros = 0.0;
    while micros <= top {
        let at = y(micros);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"dim\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{micros}</text>",
            WIDTH - RIGHT,
            LEFT - 10.0,
            at + 4.0,
        );
        micros += step;
    }
    let mut at = 10_usize.pow(least.log10().ceil() as u32);
    while at as f64 <= most {
        let _ = writeln!(
            svg,
            "<text class=\"dim\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(at),
            HEIGHT - BOTTOM + 20.0,
            thousands(at)
        );
        at *= 10;
    }
    let _ = writeln!(
        svg,
        "<text class=\"dim\" x=\"{LEFT}\" y=\"{:.1}\">what grows: connections, accounts, subscriptions, peers</text>",
        HEIGHT - 10.0
    );
    for (number, curve) in curves.iter().enumerate() {
        let points: Vec<_> =
            curve.points.iter().map(|(at, micros)| format!("{:.1},{:.1}", x(*at), y(*micros))).collect();
        let _ = writeln!(svg, "<polyline class=\"line c{number}\" points=\"{}\"/>", points.join(" "));
        for (at, micros) in &curve.points {
            let (x, y) = (x(*at), y(*micros));
            let _ = writeln!(svg, "<circle class=\"dot f{number}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>");
        }
    }
    names(&mut svg, &curves, y);
    svg.push_str("</svg>\n");
    svg
}

/// The names of the curves, each near its end, none over another.
fn names(svg: &mut String, curves: &[Curve], y: impl Fn(f64) -> f64) {
    let end = |curve: &Curve| y(curve.points.last().map_or(0.0, |(_, micros)| *micros));
    let mut order: Vec<_> = curves.iter().enumerate().map(|(number, curve)| (end(curve), number)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bottom = HEIGHT - 14.0;
    let mut free = TOP;
    for (place, (wanted, number)) in order.iter().enumerate() {
        // Those after it have to have room as well.
        let latest = bottom - LINE * (order.len() - 1 - place) as f64;
        let at = wanted.max(free).min(latest);
        free = at + LINE;
        let curve = &curves[*number];
        let (name, ratio) = (&curve.name, curve.ratio());
        let _ = writeln!(
            svg,
            "<circle class=\"f{number}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>\
             <text class=\"text small\" x=\"{:.1}\" y=\"{:.1}\">{name}: × {ratio:.2}</text>",
            WIDTH - RIGHT + 16.0,
            at,
            WIDTH - RIGHT + 26.0,
            at + 4.0,
        );
    }
}

fn head(curves: usize) -> String {
    let mut dark = String::new();
    let mut light = String::new();
    for (number, (on_dark, on_light)) in COLOURS.iter().take(curves).enumerate() {
        let _ = write!(dark, ".c{number}{{stroke:{on_dark}}}.f{number}{{fill:{on_dark}}}");
        let _ = write!(light, ".c{number}{{stroke:{on_light}}}.f{number}{{fill:{on_light}}}");
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\">\n<style>.ground{{fill:#1d2021}}.text{{fill:#dcd7cc}}\
         .dim{{fill:#a39c90}}.grid{{stroke:#3c3836}}{dark}@media(prefers-color-scheme:light){{\
         .ground{{fill:#fbfbf8}}.text{{fill:#2b2a27}}.dim{{fill:#6f6b64}}.grid{{stroke:#dcd9d0}}{light}}}\
         text{{font-family:system-ui,'DejaVu Sans',sans-serif;font-size:13px}}.bold{{font-weight:bold}}\
         .small{{font-size:12px}}.line{{fill:none;stroke-width:2}}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"9\"/>\n"
    )
}
