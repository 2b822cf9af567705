//! `report.html`: the run on one page that needs nothing else, no script, no file, no network.

use core::fmt::Write;

use base64::Engine;

use crate::lettering;
use crate::paint::escape;
use crate::palette::{Look, Palette, Theme};
use crate::render::Options;
use crate::report::Report;
use crate::scene::Scene;
use crate::sentences::Part;
use crate::spec::PlotSpec;
use crate::table::{Cell, Row};

/// Writing into a string does not fail; this spares an `expect` a line.
macro_rules! put {
    ($page:expr, $($what:tt)*) => {
        write!($page, $($what)*).expect("writing into a string does not fail")
    };
}

impl Report {
    /// The whole page. It follows the reader's choice of light or dark.
    pub fn html(&self) -> String {
        let mut page = String::with_capacity(600_000);
        let title = escape(&self.meta.title);
        put!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} · brokerlab</title>\n\
             <style>\n{}{}{}</style>\n</head>\n<body>\n",
            fonts(),
            colours(),
            include_str!("page.css")
        );
        put!(page, "<header>\n<p class=\"kicker\">brokerlab · {}</p>\n<h1>{title}</h1>\n", escape(&self.meta.name));
        put!(page, "<p class=\"question\">{}</p>\n</header>\n<main>\n", escape(&self.meta.question));
        self.what_happened(&mut page);
        // The picture that decides stands where the eye still is; the others follow the figures.
        let plots = self.plots();
        pictures(&mut page, "The picture that decides", &plots[..1]);
        self.expectations(&mut page);
        self.explanation(&mut page);
        self.comparison_table(&mut page);
        pictures(&mut page, "More pictures", &plots[1..]);
        self.fault_table(&mut page);
        self.target_tables_on(&mut page);
        self.verdict_table(&mut page);
        self.reproduction(&mut page);
        put!(
            page,
            "</main>\n<footer>\n<p>Modelled, not measured: absolute figures follow from the costs and delays that the \
             scenario states, on a simulated network and simulated disks. Differences between contenders under the \
             same demand are what the laboratory is for.</p>\n</footer>\n</body>\n</html>\n"
        );
        page
    }

    fn what_happened(&self, page: &mut String) {
        put!(page, "<h2>What happened</h2>\n<ul class=\"told\">\n");
        for (sentence, look) in self.sentences().iter().zip(self.looks()) {
            put!(page, "<li>{}<strong>{}</strong><span>", mark(look), escape(&sentence.contender));
            for part in &sentence.parts {
                match part {
                    Part::Text(text) => page.push_str(&escape(text)),
                    // The reader who wants to check a number learns where it stands.
                    Part::Figure { shown, file, row, column } => {
                        put!(page, "<span title=\"{file}, line {}, {column}\">{}</span>", row + 2, escape(shown))
                    }
                }
            }
            put!(page, "</span></li>\n");
        }
        put!(page, "</ul>\n");
    }

    fn expectations(&self, page: &mut String) {
        if self.meta.expectations.is_empty() {
            return;
        }
        put!(page, "<h2>What was expected</h2>\n<ul class=\"expect\">\n");
        for expectation in &self.meta.expectations {
            let (class, word) = if expectation.holds { ("holds", "holds") } else { ("fails", "fails") };
            let (text, found) = (escape(&expectation.text), escape(&expectation.found));
            put!(page, "<li><b class=\"{class}\">{word}</b>{text} <small>({found})</small></li>\n");
        }
        put!(page, "</ul>\n");
    }

    fn explanation(&self, page: &mut String) {
        if self.meta.explanation.trim().is_empty() {
            return;
        }
        put!(page, "<h2>Why</h2>\n<div class=\"prose\">\n");
        for paragraph in self.meta.explanation.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            put!(page, "<p>{}</p>\n", escape(paragraph.trim()));
        }
        put!(page, "</div>\n");
    }

    fn comparison_table(&self, page: &mut String) {
        put!(page, "<h2>Side by side</h2>\n<div class=\"scroll\"><table class=\"numbers\">\n<thead><tr>");
        put!(page, "<th scope=\"col\">per application</th>");
        for (contender, look) in self.meta.contenders.iter().zip(self.looks()) {
            put!(page, "<th scope=\"col\">{} {}</th>", mark(look), escape(&contender.name));
        }
        put!(page, "</tr></thead>\n");
        for block in self.comparison() {
            let span = self.meta.contenders.len() + 1;
            let name = escape(&block.application);
            put!(page, "<tbody><tr><th scope=\"rowgroup\" colspan=\"{span}\">{name}</th></tr>\n");
            for line in &block.lines {
                put!(page, "<tr><th scope=\"row\">{}</th>", escape(&line.name));
                for (value, alarming) in line.values.iter().zip(&line.alarming) {
                    let class = match value.as_str() {
                        _ if *alarming => " class=\"alarm\"",
                        "0" | "–" | "not applicable" => " class=\"nothing\"",
                        _ => "",
                    };
                    put!(page, "<td{class}>{}</td>", escape(value));
                }
                put!(page, "</tr>\n");
            }
            put!(page, "</tbody>\n");
        }
        put!(page, "</table></div>\n");
    }

    fn fault_table(&self, page: &mut String) {
        if self.faults.is_empty() {
            return;
        }
        put!(
            page,
            "<h2>Faults, and whom they hit</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">fault</th>\
             <th scope=\"col\">contender</th><th scope=\"col\">hit</th><th scope=\"col\">from (s)</th>\
             <th scope=\"col\">until (s)</th></tr></thead>\n<tbody>\n"
        );
        for row in &self.faults {
            let until = row.until_s.map_or("the end".to_owned(), |until| until.write());
            let cells = [&row.fault, &row.contender, &row.target, &row.from_s.write(), &until].map(|c| escape(c));
            put!(page, "<tr><td>{}</td></tr>\n", cells.join("</td><td>"));
        }
        put!(page, "</tbody></table></div>\n");
    }

    fn target_tables_on(&self, page: &mut String) {
        for table in self.target_tables() {
            put!(
                page,
                "<h2>Every target of {}: {}</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">target</th>",
                escape(&table.fault),
                escape(&table.of)
            );
            for heading in &table.headings {
                put!(page, "<th scope=\"col\">{heading}</th>");
            }
            put!(page, "</tr></thead>\n<tbody>\n");
            for (target, values) in &table.rows {
                let values: Vec<_> = values.iter().map(|value| escape(value)).collect();
                put!(page, "<tr><td>{}</td><td>{}</td></tr>\n", escape(target), values.join("</td><td>"));
            }
            put!(page, "</tbody></table></div>\n");
        }
    }

    fn verdict_table(&self, page: &mut String) {
        if self.verdicts.is_empty() {
            return;
        }
        put!(
            page,
            "<h2>What was promised</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">contender</th>\
             <th scope=\"col\">application</th><th scope=\"col\">guarantee</th><th scope=\"col\">verdict</th>\
             <th scope=\"col\">breaks</th><th scope=\"col\">may break because</th></tr></thead>\n<tbody>\n"
        );
        for row in &self.verdicts {
            let broken = if row.verdict == "broken" { " class=\"alarm\"" } else { "" };
            let [contender, application, guarantee, verdict, allowed] =
                [&row.contender, &row.application, &row.guarantee, &row.verdict, &row.allowed].map(|c| escape(c));
            let breaks = crate::number::grouped(row.breaks);
            let allowed = if allowed.is_empty() { "it must hold".to_owned() } else { allowed };
            put!(
                page,
                "<tr><td>{contender}</td><td>{application}</td><td>{guarantee}</td><td{broken}>{verdict}</td>\
                 <td>{breaks}</td><td>{allowed}</td></tr>\n"
            );
        }
        put!(page, "</tbody></table></div>\n");
    }

    fn reproduction(&self, page: &mut String) {
        let meta = &self.meta;
        put!(page, "<h2>Make it again</h2>\n<pre><code>{}</code></pre>\n<dl>\n", escape(&meta.command));
        let mut say = |term: &str, what: String| put!(page, "<dt>{}</dt><dd>{}</dd>\n", escape(term), escape(&what));
        say("engine", meta.engine.clone());
        say("seed", meta.seed.to_string());
        say("demand", format!("{:016x}", meta.demand_digest));
        if let Some(digest) = meta.trace_digest {
            say("trace", format!("{digest:016x}"));
        }
        for contender in &meta.contenders {
            let events = crate::number::grouped(contender.events);
            say(
                &format!("fingerprint of {}", contender.name),
                format!("{:016x} over {events} events", contender.fingerprint),
            );
        }
        let files = [
            crate::columns::SummaryRow::FILE,
            crate::columns::TimeseriesRow::FILE,
            crate::columns::LatencyRow::FILE,
            crate::columns::OrderingRow::FILE,
        ];
        say("figures", format!("{}; their columns are explained in columns.md", files.join(", ")));
        put!(page, "</dl>\n");
    }
}

fn pictures(page: &mut String, heading: &str, plots: &[PlotSpec]) {
    put!(page, "<h2>{heading}</h2>\n");
    for plot in plots {
        put!(page, "<figure id=\"{}\">{}</figure>\n", plot.name, themed(&plot.svg(&Options::default())));
    }
}

/// The fonts that the pictures were laid out with, inside the page: another one may be wider and run out of them.
fn fonts() -> String {
    let face = |(weight, bytes): (u16, &[u8])| {
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        format!(
            "@font-face{{font-family:\"IBM Plex Sans\";font-weight:{weight};\
             src:url(data:font/ttf;base64,{data}) format(\"truetype\")}}\n"
        )
    };
    [(400, lettering::REGULAR), (600, lettering::BOLD)].map(face).concat()
}

/// The style sheet's variables, for both themes.
fn colours() -> String {
    let variables = |theme, bad| {
        let roles = Palette::new(theme, false).roles().into_iter();
        let roles: String = roles.map(|(name, colour)| format!("--{name}:{};", colour.hex())).collect();
        format!(":root{{{roles}--bad:{bad}}}")
    };
    let (light, dark) = (variables(Theme::Light, "#B00020"), variables(Theme::Dark, "#FF8A80"));
    format!("{light}\n@media screen and (prefers-color-scheme:dark){{{dark}}}\n")
}

/// A picture drawn in the light theme whose colours become variables, so that one picture serves both themes.
fn themed(svg: &str) -> String {
    let palette = Palette::new(Theme::Light, false);
    let mut roles = palette.roles();
    // Where two roles share a colour the first one serves; all others are replaced by themselves.
    roles.dedup_by_key(|role| role.1);
    let roles = roles.into_iter().map(|(name, colour)| (format!("var(--{name})"), colour));
    roles
        .chain(palette.tones())
        .fold(svg.to_owned(), |svg, (css, colour)| svg.replace(&format!("\"{}\"", colour.hex()), &format!("\"{css}\"")))
}

/// A contender's mark as a small picture beside its name.
fn mark(look: Look) -> String {
    let palette = Palette::new(Theme::Light, false);
    let mut scene = Scene { width: 16.0, height: 16.0, background: palette.panel, shapes: Vec::new() };
    let open = look.variant.then_some(palette.panel);
    scene.mark(look.mark, (8.0, 8.0), 5.6, palette.of(look), open);
    let svg = themed(&crate::paint::svg(&scene, (16, 16), ""));
    svg.replace("role=\"img\" aria-label=\"\"", "aria-hidden=\"true\"")
}

#[cfg(test)]
mod tests {
    use crate::samples;

    #[test]
    fn the_page_stands_alone_and_is_accessible() {
        let mut report = samples::report(&["billing", "audit"]);
        report.meta.title = "Title <script>".into();
        let page = report.html();
        for absent in ["<script", "http://", "https://", "src=", "url("] {
            let page =
                page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").replace("url(data:font/ttf;base64,", "");
            assert!(!page.contains(absent), "{absent}");
        }
        assert!(page.contains("lang=\"en\"") && page.contains("<th scope=\"row\">"));
        assert_eq!(page.matches("<figure").count(), 8);
        assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), 8, "every picture has a text");
        assert!(page.contains("waits until the session times out &amp; the group"));
        assert!(!page.contains("\"#0072B2\""), "pictures follow the reader's theme");
    }
}
