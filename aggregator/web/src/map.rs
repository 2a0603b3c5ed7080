// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The Land's map: GeoJSON (RFC 7946) in, SVG path data out. Read once at start.
//!
//! Borders of Kreise and of the Land are derived: a side that areas of two Kreise share, a side that one area has alone.
//! That needs neighbours that share their border point by point, as generalised official geodata and
//! `dashboards/land/make.py` have it. Must never go to the network. Limits: [`MAX_BYTES`], [`MAX_AREAS`],
//! [`MAX_POINTS`]; an area around the 180th meridian or a pole is drawn wrongly.

use std::{collections::HashMap, fmt::Write as _};

use lagewarte_base::ags::Ags;
use serde::Deserialize;

/// Largest map file. Threat: an ungeneralised export that every page would carry to every phone.
pub const MAX_BYTES: usize = 8 << 20;
/// Most areas: the largest Land has about 2,300 municipalities; more is another file.
pub const MAX_AREAS: usize = 4_096;
/// Most points over all areas. Threat: a page of many megabytes.
pub const MAX_POINTS: usize = 200_000;
/// Width of the drawing in its own units; points are rounded to one unit.
pub const WIDTH: i32 = 10_000;

/// One municipality's area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its key.
    pub ags: Ags,
    /// Its name, without `Gemeinde` or `Stadt`.
    pub name: String,
    /// Name of its Kreis, or its own where it is a kreisfreie Stadt.
    pub kreis_name: String,
    /// SVG path data in drawing units.
    pub path: String,
    /// Where a label stands: the centroid of its largest ring.
    pub label: (i32, i32),
}

/// The map, ready to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandMap {
    /// What the file calls itself, for example `Land Auenmark`.
    pub name: String,
    /// Areas in the file's order.
    pub areas: Vec<Area>,
    /// Path data of the borders between Kreise.
    pub kreis_borders: String,
    /// Path data of the Land's own border.
    pub land_border: String,
    /// Height of the drawing; its width is [`WIDTH`].
    pub height: i32,
}

/// Why a map was refused, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// Not GeoJSON of the wanted shape.
    #[error("the map is not a GeoJSON FeatureCollection of areas with the properties ags, name, kreis_name: {0}")]
    Shape(#[from] serde_json::Error),
    /// A bound was passed.
    #[error("the map has {what}; at most {most} are drawn. Generalise it (for example with mapshaper -simplify)")]
    TooLarge {
        /// What there is too much of, with its number.
        what: String,
        /// The bound.
        most: usize,
    },
    /// An area that cannot be drawn.
    #[error("the map's area {ags} {why}")]
    Area {
        /// Which.
        ags: Ags,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is nothing to draw.
    #[error("the map has no areas")]
    Empty,
}

#[derive(Deserialize)]
struct Collection {
    #[serde(default)]
    name: String,
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    properties: Properties,
    geometry: Geometry,
}

#[derive(Deserialize)]
struct Properties {
    ags: Ags,
    name: String,
    kreis_name: String,
}

type Ring = Vec<(f64, f64)>;

#[derive(Deserialize)]
#[serde(tag = "type", content = "coordinates")]
enum Geometry {
    Polygon(Vec<Ring>),
    MultiPolygon(Vec<Vec<Ring>>),
}

impl Geometry {
    fn rings(&self) -> impl Iterator<Item = &Ring> {
        let polygons = match self {
            Self::Polygon(p) => std::slice::from_ref(p),
            Self::MultiPolygon(m) => m.as_slice(),
        };
        polygons.iter().flatten()
    }
}

type Point = (i32, i32);

impl LandMap {
    /// Reads a map.
    ///
    /// # Errors
    /// [`MapError`], which says what is wrong and what to do.
    pub fn from_geojson(bytes: &[u8]) -> Result<Self, MapError> {
        let bound = |n: usize, what: &str, most: usize| {
            if n > most { Err(MapError::TooLarge { what: format!("{n} {what}"), most }) } else { Ok(()) }
        };
        bound(bytes.len(), "bytes", MAX_BYTES)?;
        let file: Collection = serde_json::from_slice(bytes)?;
        bound(file.features.len(), "areas", MAX_AREAS)?;
        bound(file.features.iter().flat_map(|f| f.geometry.rings()).map(Vec::len).sum(), "points", MAX_POINTS)?;
        let project = Projection::around(&file)?;
        let mut shapes = Vec::with_capacity(file.features.len());
        for f in &file.features {
            let rings: Vec<Vec<Point>> = f.geometry.rings().map(|r| project.ring(r)).filter(|r| r.len() >= 3).collect();
            if rings.is_empty() {
                return Err(MapError::Area { ags: f.properties.ags, why: "has no ring of three different points" });
            }
            shapes.push((f.properties.ags, rings));
        }
        let (kreis_borders, land_border) = borders(&shapes);
        let areas = file
            .features
            .into_iter()
            .zip(shapes)
            .map(|(f, (ags, rings))| Area {
                ags,
                name: f.properties.name,
                kreis_name: f.properties.kreis_name,
                path: rings.iter().map(|r| path(r, true)).collect(),
                label: label(&rings),
            })
            .collect();
        Ok(Self { name: file.name, areas, kreis_borders, land_border, height: project.height })
    }
}

/// Plate carrée with the middle latitude true: good enough for a Land, and straight up is north.
struct Projection {
    west: f64,
    north: f64,
    x: f64,
    y: f64,
    height: i32,
}

impl Projection {
    fn around(file: &Collection) -> Result<Self, MapError> {
        let (mut w, mut e, mut s, mut n) = (f64::MAX, f64::MIN, f64::MAX, f64::MIN);
        for f in &file.features {
            for &(lon, lat) in f.geometry.rings().flatten() {
                if !(-180.0..=180.0).contains(&lon) || !(-89.0..=89.0).contains(&lat) {
                    let why = "has a point that is no longitude and latitude in degrees (RFC 7946 wants WGS 84)";
                    return Err(MapError::Area { ags: f.properties.ags, why });
                }
                (w, e, s, n) = (w.min(lon), e.max(lon), s.min(lat), n.max(lat));
            }
        }
        // `not greater` also catches the map without a point.
        if !(e > w && n > s) {
            return Err(MapError::Empty);
        }
        let x = f64::from(WIDTH) / (e - w);
        let y = x / ((s + n) / 2.0).to_radians().cos();
        let height = ((n - s) * y).ceil().min(f64::from(10 * WIDTH));
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the line above")]
        let height = height as i32;
        Ok(Self { west: w, north: n, x, y, height })
    }

    /// A ring in drawing units, without its closing point and without points that fall together.
    fn ring(&self, ring: &Ring) -> Vec<Point> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float to int cast saturates; points lie within the drawing"
        )]
        let mut out: Vec<Point> = ring
            .iter()
            .map(|&(lon, lat)| {
                (((lon - self.west) * self.x).round() as i32, ((self.north - lat) * self.y).round() as i32)
            })
            .collect();
        out.dedup();
        if out.first() == out.last() {
            out.pop();
        }
        out
    }
}

/// Path data: one absolute point, then relative ones, which are shorter.
fn path(points: &[Point], close: bool) -> String {
    let mut out = String::new();
    let mut last: Option<Point> = None;
    for &(x, y) in points {
        // Writing to a String cannot fail.
        let _ = match last {
            None => write!(out, "M{x} {y}l"),
            Some((lx, ly)) => write!(out, "{} {} ", x - lx, y - ly),
        };
        last = Some((x, y));
    }
    if out.ends_with(' ') {
        out.pop();
    }
    if close {
        out.push('z');
    }
    out
}

fn sides(ring: &[Point]) -> impl Iterator<Item = (Point, Point)> + '_ {
    ring.iter().copied().zip(ring.iter().copied().cycle().skip(1))
}

/// The middle of the largest ring by area; of its points where the ring has no area.
fn label(rings: &[Vec<Point>]) -> Point {
    let mut best = (0_i128, (0, 0));
    for ring in rings {
        // Twice the area, and the first moments: shoelace formula, in i128: no ring can overflow it.
        let (mut area, mut mx, mut my) = (0_i128, 0_i128, 0_i128);
        for ((ax, ay), (bx, by)) in sides(ring) {
            let cross = i128::from(ax) * i128::from(by) - i128::from(bx) * i128::from(ay);
            area += cross;
            mx += (i128::from(ax) + i128::from(bx)) * cross;
            my += (i128::from(ay) + i128::from(by)) * cross;
        }
        let n = i128::try_from(ring.len().max(1)).unwrap_or(i128::MAX);
        let middle = if area == 0 {
            (
                ring.iter().map(|p| i128::from(p.0)).sum::<i128>() / n,
                ring.iter().map(|p| i128::from(p.1)).sum::<i128>() / n,
            )
        } else {
            (mx / (3 * area), my / (3 * area))
        };
        if area.abs() >= best.0 {
            best = (area.abs(), (i32::try_from(middle.0).unwrap_or(0), i32::try_from(middle.1).unwrap_or(0)));
        }
    }
    best.1
}

/// Which Kreise lie on a side: the first seen, and another one if there is any.
struct Owners<'a> {
    first: &'a str,
    shared: bool,
    foreign: bool,
}

fn borders(shapes: &[(Ags, Vec<Vec<Point>>)]) -> (String, String) {
    let key = |a: Point, b: Point| (a.min(b), a.max(b));
    let mut owners: HashMap<(Point, Point), Owners<'_>> = HashMap::new();
    for (ags, rings) in shapes {
        for (a, b) in rings.iter().flat_map(|r| sides(r)) {
            owners
                .entry(key(a, b))
                .and_modify(|o| {
                    o.shared = true;
                    o.foreign |= o.first != ags.kreis();
                })
                .or_insert(Owners { first: ags.kreis(), shared: false, foreign: false });
        }
    }
    let (mut kreis, mut land) = (String::new(), String::new());
    for (ags, rings) in shapes {
        for ring in rings {
            // Each Kreis border is drawn once, by the Kreis that was first.
            runs(ring, &mut kreis, |a, b| owners.get(&key(a, b)).is_some_and(|o| o.foreign && o.first == ags.kreis()));
            runs(ring, &mut land, |a, b| owners.get(&key(a, b)).is_some_and(|o| !o.shared));
        }
    }
    (kreis, land)
}

/// Writes the unbroken runs of a ring's sides that `wanted` picks.
fn runs(ring: &[Point], out: &mut String, wanted: impl Fn(Point, Point) -> bool) {
    let mut run: Vec<Point> = Vec::new();
    for (a, b) in sides(ring) {
        if wanted(a, b) {
            if run.is_empty() {
                run.push(a);
            }
            run.push(b);
        } else if !run.is_empty() {
            out.push_str(&path(&run, false));
            run.clear();
        }
    }
    if !run.is_empty() {
        out.push_str(&path(&run, false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two unit squares side by side, in two Kreise, and a third above the first in the same Kreis.
    fn squares() -> String {
        let square = |ags: &str, x: i32, y: i32| {
            let ring =
                [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)].map(|(a, b)| format!("[{a},{b}]")).join(",");
            format!(
                r#"{{"type":"Feature","properties":{{"ags":"{ags}","name":"n{ags}","kreis_name":"k"}},
                   "geometry":{{"type":"Polygon","coordinates":[[{ring}]]}}}}"#
            )
        };
        let all = [square("97101001", 0, 0), square("97102001", 1, 0), square("97101002", 0, 1)].join(",");
        format!(r#"{{"type":"FeatureCollection","name":"L","features":[{all}]}}"#)
    }

    #[test]
    fn areas_labels_and_borders_of_three_squares() {
        let m = LandMap::from_geojson(squares().as_bytes()).expect("a good map");
        // Two degrees wide, two high, at latitude 1: as high as wide, but for cos(1°).
        assert_eq!((m.name.as_str(), m.height), ("L", 10_002));
        assert_eq!(m.areas[0].path, "M0 10002l5000 0 0 -5001 -5000 0z");
        assert_eq!(m.areas[0].label, (2500, 7501));
        // One side lies between two Kreise: the one between the first two squares.
        assert_eq!(m.kreis_borders, "M5000 10002l0 -5001");
        // Eight sides belong to nobody else.
        let units: i32 = m
            .land_border
            .split(['M', 'l'])
            .skip(2)
            .step_by(2)
            .map(|r| r.split(' ').filter(|n| *n != "0").count() as i32)
            .sum();
        assert_eq!(units, 8);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_with_its_reason() {
        let good = squares();
        for (bad, reason) in [
            ("{}".to_owned(), "FeatureCollection"),
            (r#"{"features":[]}"#.to_owned(), "no areas"),
            (good.replace("97102001", "9710200"), "eight digits"),
            (good.replace("[1,0]", "[1000,0]"), "WGS 84"),
            (good.replace("[1,0]", "[1e999,0]"), "out of range"),
            (good.replace("Polygon", "Point"), "unknown variant"),
            (good.replace("[2,0],[2,1],[1,1],[1,0]", "[1,0]"), "three different points"),
        ] {
            let e = LandMap::from_geojson(bad.as_bytes()).expect_err(reason).to_string();
            assert!(e.contains(reason), "{e}");
        }
    }

    #[test]
    fn every_bound_is_held() {
        let features = |n: usize, f: &str| format!(r#"{{"features":[{}]}}"#, vec![f; n].join(","));
        let area = |points: usize| {
            let ring = vec!["[1,2]"; points].join(",");
            format!(
                r#"{{"properties":{{"ags":"97101001","name":"n","kreis_name":"k"}},"geometry":{{"type":"Polygon","coordinates":[[{ring}]]}}}}"#
            )
        };
        for (bad, reason) in [
            (" ".repeat(MAX_BYTES + 1), "bytes"),
            (features(MAX_AREAS + 1, &area(1)), "4097 areas"),
            (features(1, &area(MAX_POINTS + 1)), "200001 points"),
        ] {
            let e = LandMap::from_geojson(bad.as_bytes()).expect_err(reason).to_string();
            assert!(e.contains(reason), "{e}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = squares();
        for n in 0..whole.len() {
            assert!(LandMap::from_geojson(&whole.as_bytes()[..n]).is_err(), "{n}");
        }
    }
}
