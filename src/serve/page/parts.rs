//! What all pages have, and what several of them show.

use crate::checksum::Checksum;
use crate::date;
use crate::serve::html::Html;
use crate::serve::link::{self, Kind};
use crate::serve::view::{Brief, Pages};
use crate::units::format_size;

/// How many digits of a checksum are shown; the whole of it is its title.
const SHORT: usize = 12;

/// A step on the way from the first page to this one: its text, and where it leads.
pub(super) type Step = (String, Option<String>);

/// A whole page.
pub(super) fn layout(title: &str, way: &[Step], content: impl FnOnce(&mut Html)) -> Html {
    let mut html = Html::new();
    html.within("html", &[("lang", "en")], |html| {
        html.within("head", &[], |html| {
            html.void("meta", &[("charset", "utf-8")]);
            let fit = "width=device-width, initial-scale=1";
            html.void("meta", &[("name", "viewport"), ("content", fit)]);
            html.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
            html.within("title", &[], |html| {
                html.name(title);
                html.text(" · osier");
            });
            html.void("link", &[("rel", "stylesheet"), ("href", "/-/style.css")]);
        });
        html.within("body", &[], |html| {
            html.element("a", &[("class", "skip"), ("href", "#content")], "Skip to the content");
            html.within("header", &[], |html| {
                html.within("nav", &[("aria-label", "Breadcrumb")], |html| steps(html, way));
            });
            html.within("main", &[("id", "content"), ("tabindex", "-1")], content);
            html.within("footer", &[], |html| {
                html.text("Served by osier. Every page is also JSON: ");
                html.element("code", &[], "?format=json");
            });
        });
    });
    html
}

fn steps(html: &mut Html, way: &[Step]) {
    html.within("ol", &[], |html| {
        let root = ("Refs".to_owned(), (!way.is_empty()).then(|| "/".to_owned()));
        let last = way.len();
        for (place, (text, target)) in std::iter::once(&root).chain(way).enumerate() {
            html.within("li", &[], |html| match target {
                Some(target) => html.link(target, text),
                None if place == last => {
                    html.within("span", &[("aria-current", "page")], |html| html.name(text));
                }
                None => html.within("span", &[], |html| html.name(text)),
            });
        }
    });
}

/// The steps to a path in a commit. Its last one is no link.
pub(super) fn way_to(commit: &Checksum, names: &[String]) -> Vec<Step> {
    let mut way = vec![(short(commit), Some(link::commit(commit)))];
    let root = ("tree".to_owned(), Some(link::at(Kind::Tree, commit, &[""; 0])));
    way.push(root);
    for (place, name) in names.iter().enumerate() {
        way.push((name.clone(), Some(link::at(Kind::Tree, commit, &names[..=place]))));
    }
    if let Some((_, target)) = way.last_mut() {
        *target = None;
    }
    way
}

/// The beginning of a checksum.
pub(super) fn short(checksum: &Checksum) -> String {
    checksum.to_hex()[..SHORT].to_owned()
}

/// A checksum, shortened, with all of it as its title.
pub(super) fn checksum(html: &mut Html, checksum: &Checksum) {
    html.element("code", &[("title", &checksum.to_hex())], &short(checksum));
}

/// The same as a link to the commit.
pub(super) fn commit_link(html: &mut Html, commit: &Checksum) {
    let (target, whole) = (link::commit(commit), commit.to_hex());
    html.within("a", &[("href", &target), ("title", &whole)], |html| {
        html.element("code", &[], &short(commit));
    });
}

/// Minutes are enough; the whole time is the title.
pub(super) fn time(html: &mut Html, seconds: u64) {
    match i64::try_from(seconds).ok().and_then(date::format_iso) {
        Some(iso) => {
            let text = iso.get(..16).unwrap_or(&iso).replace('T', " ");
            html.element("time", &[("datetime", &iso), ("title", &iso)], &text);
        }
        None => html.text(&format!("{seconds} s after 1970")),
    }
}

/// A size for readers, with the exact one as its title.
pub(super) fn size(html: &mut Html, bytes: u64) {
    let exact = format!("{bytes} bytes");
    html.element("span", &[("title", &exact)], &format_size(bytes).replace('\u{a0}', " "));
}

/// The subject, or that there is none, with the version.
pub(super) fn subject(html: &mut Html, brief: &Brief) {
    match brief.subject.is_empty() {
        true => html.element("span", &[("class", "faint")], "(no subject)"),
        false => html.name(&brief.subject),
    }
    if let Some(version) = &brief.version {
        html.text(" ");
        html.within("span", &[("class", "label")], |html| html.name(version));
    }
}

/// A table with these headings, in a box that scrolls by itself where it is too wide.
pub(super) fn table(
    html: &mut Html,
    caption: &str,
    headings: &[(&'static str, &str)],
    rows: impl FnOnce(&mut Html),
) {
    let region =
        [("class", "wide"), ("role", "region"), ("aria-label", caption), ("tabindex", "0")];
    html.within("div", &region, |html| {
        html.within("table", &[], |html| {
            html.within("thead", &[], |html| {
                html.within("tr", &[], |html| {
                    for (class, heading) in headings {
                        html.element("th", &[("scope", "col"), ("class", class)], heading);
                    }
                });
            });
            html.within("tbody", &[], rows);
        });
    });
}

/// A term with what it means.
pub(super) fn fact(html: &mut Html, term: &str, meaning: impl FnOnce(&mut Html)) {
    html.within("div", &[], |html| {
        html.within("dt", &[], |html| html.name(term));
        html.within("dd", &[], meaning);
    });
}

/// Links to the other pages, if there are any. `page` has no query.
pub(super) fn pager(html: &mut Html, page: &str, pages: &Pages) {
    let Pages { page: current, pages: last, total } = *pages;
    if last < 2 {
        return;
    }
    let target = |number: usize| link::with_query(page, &[("page", &number.to_string())]);
    html.within("nav", &[("class", "pager"), ("aria-label", "Pages")], |html| {
        let mut step = |number: Option<usize>, text: &str, rel: &str| match number {
            Some(number) => {
                html.element("a", &[("href", &target(number)), ("rel", rel)], text);
            }
            None => html.element("span", &[("class", "faint")], text),
        };
        step((current > 1).then_some(1), "First", "start");
        step((current > 1).then(|| current - 1), "Previous", "prev");
        step((current < last).then_some(current + 1), "Next", "next");
        step((current < last).then_some(last), "Last", "end");
        html.text(&format!("Page {current} of {last}, {total} in all"));
    });
}

/// The form that searches a commit.
pub(super) fn search_form(html: &mut Html, commit: &Checksum, wanted: &str) {
    let action = link::at(Kind::Search, commit, &[""; 0]);
    let form = [("action", action.as_str()), ("method", "get"), ("role", "search")];
    html.within("form", &form, |html| {
        html.element("label", &[("for", "path")], "Search by path");
        html.void(
            "input",
            &[
                ("id", "path"),
                ("name", "path"),
                ("type", "search"),
                ("maxlength", "256"),
                ("autocomplete", "off"),
                ("autocapitalize", "none"),
                ("spellcheck", "false"),
                ("placeholder", "os-release or *.conf"),
                ("value", wanted),
            ],
        );
        html.element("button", &[("type", "submit")], "Search");
    });
}

/// The page of an answer that is none.
pub(in crate::serve) fn failure(reason: &str, message: &str) -> Html {
    layout(reason, &[(reason.to_owned(), None)], |html| {
        html.element("h1", &[], reason);
        html.within("p", &[], |html| html.name(message));
    })
}
