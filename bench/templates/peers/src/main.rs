// Tera and MiniJinja on the same templates and data: peers DATA BENCH OUT SECONDS. Writes the first
// render of each template to OUT, and prints a JSON object of microseconds for each engine.
use serde_json::{json, Map, Value};
use std::time::{Duration, Instant};
use std::{env, fs};

const ENTRIES: [(&str, &str); 4] =
    [("badge", "badge.svg"), ("chart", "chart.svg"), ("table", "table.html"), ("page", "page.html")];
const FILES: [&str; 6] =
    ["badge.svg", "chart.svg", "table.html", "page.html", "base.html", "macros.html"];

// The best of many short runs: what the machine does besides only ever adds.
fn measure(seconds: f64, mut f: impl FnMut(usize)) -> f64 {
    let stop = Instant::now() + Duration::from_secs_f64(seconds);
    let (mut best, mut n) = (f64::MAX, 1);
    loop {
        let from = Instant::now();
        (0..n).for_each(&mut f);
        let spent = from.elapsed().as_secs_f64();
        if spent < 0.01 {
            n *= 2;
        } else {
            best = best.min(spent / n as f64);
        }
        if Instant::now() > stop {
            return best * 1e6;
        }
    }
}

fn contexts(data: &str, name: &str) -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(format!("{data}/{name}.json")).unwrap()).unwrap()
}

fn new_tera(bench: &str) -> tera::Tera {
    let mut t = tera::Tera::default();
    t.autoescape_on(vec![".html", ".svg"]);
    let texts = FILES.map(|f| (f, fs::read_to_string(format!("{bench}/tera/{f}")).unwrap()));
    t.add_raw_templates(texts).unwrap();
    t
}

fn run_tera(data: &str, bench: &str, out: &str, seconds: f64) -> Value {
    let t = new_tera(bench);
    let mut result = Map::new();
    for (name, entry) in ENTRIES {
        let list: Vec<_> = contexts(data, name)
            .into_iter()
            .map(|c| tera::Context::from_value(c).unwrap())
            .collect();
        fs::write(format!("{out}/{name}.tera"), t.render(entry, &list[0]).unwrap()).unwrap();
        let us = measure(seconds, |i| drop(t.render(entry, &list[(i + 1) % 8]).unwrap()));
        result.insert(name.into(), json!(us));
        let first = measure(seconds, |_| drop(new_tera(bench).render(entry, &list[0]).unwrap()));
        result.insert(format!("{name}_first"), json!(first));
    }
    Value::Object(result)
}

fn new_minijinja(bench: &str) -> minijinja::Environment<'static> {
    let mut e = minijinja::Environment::new();
    e.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    for f in FILES {
        e.add_template_owned(f, fs::read_to_string(format!("{bench}/jinja/{f}")).unwrap()).unwrap();
    }
    e
}

fn run_minijinja(data: &str, bench: &str, out: &str, seconds: f64) -> Value {
    let e = new_minijinja(bench);
    let mut result = Map::new();
    for (name, entry) in ENTRIES {
        let list: Vec<_> =
            contexts(data, name).iter().map(minijinja::Value::from_serialize).collect();
        let t = e.get_template(entry).unwrap();
        fs::write(format!("{out}/{name}.minijinja"), t.render(&list[0]).unwrap()).unwrap();
        let us = measure(seconds, |i| drop(t.render(&list[(i + 1) % 8]).unwrap()));
        result.insert(name.into(), json!(us));
        let first = measure(seconds, |_| {
            drop(new_minijinja(bench).get_template(entry).unwrap().render(&list[0]).unwrap())
        });
        result.insert(format!("{name}_first"), json!(first));
    }
    Value::Object(result)
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let seconds = args[4].parse().unwrap();
    println!(
        "{}",
        json!({
            "Tera 1.x": run_tera(&args[1], &args[2], &args[3], seconds),
            "MiniJinja": run_minijinja(&args[1], &args[2], &args[3], seconds),
        })
    );
}
