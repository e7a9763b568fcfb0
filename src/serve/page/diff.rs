//! The page of a comparison.

use super::parts::{commit_link, fact, layout, pager, short, size, subject, table, time};
use crate::diff::ObjectSums;
use crate::serve::html::Html;
use crate::serve::link::{self, Kind};
use crate::serve::view::{Brief, Change, DiffRow, DiffView, Entry};
use crate::units::format_size;

pub(in crate::serve) fn diff(view: &DiffView) -> Html {
    let (from, to) = (&view.from.checksum, &view.to.checksum);
    let title = format!("{} to {}", short(from), short(to));
    layout(&title, &[(short(to), Some(link::commit(to))), (title.clone(), None)], |html| {
        html.element("h1", &[], "Comparison");
        html.within("dl", &[("class", "facts")], |html| {
            for (term, brief) in [("From", &view.from), ("To", &view.to)] {
                fact(html, term, |html| one(html, brief));
            }
            fact(html, "Paths", |html| {
                let DiffView { modified, removed, added, .. } = view;
                html.text(&format!("{modified} modified, {removed} removed, {added} added"));
            });
            for (term, sums) in [
                ("New objects", &view.sizes.new),
                ("Removed objects", &view.sizes.removed),
                ("Shared objects", &view.sizes.shared),
            ] {
                fact(html, term, |html| html.text(&objects(sums)));
            }
            fact(html, "An update fetches", |html| {
                let wire = &view.sizes.wire;
                let bytes = wire.bytes.map_or_else(|| "unknown size".to_owned(), format_size);
                html.text(&format!("{} files, {bytes}", wire.requests));
            });
        });
        html.within("p", &[], |html| html.link(&link::diff(to, from), "The other way round"));
        if view.rows.is_empty() {
            html.element("p", &[("class", "faint")], "The trees are the same.");
            return;
        }
        let page = link::diff(from, to);
        pager(html, &page, &view.pages);
        let headings = [("", "Change"), ("", "Path"), ("number", "Size"), ("number", "Difference")];
        table(html, "Changes", &headings, |html| {
            view.rows.iter().for_each(|found| row(html, view, found));
        });
        pager(html, &page, &view.pages);
    })
}

fn one(html: &mut Html, brief: &Brief) {
    commit_link(html, &brief.checksum);
    html.text(" ");
    subject(html, brief);
    html.text(" ");
    time(html, brief.timestamp);
}

fn objects(sums: &ObjectSums) -> String {
    let ObjectSums { metadata, files, bytes } = sums;
    format!("{files} files, {metadata} of metadata, {}", format_size(*bytes))
}

fn row(html: &mut Html, view: &DiffView, found: &DiffRow) {
    let DiffRow { change, path, before, after } = found;
    let commit = match change {
        Change::Removed => &view.from.checksum,
        Change::Modified | Change::Added => &view.to.checksum,
    };
    let class = match change {
        Change::Modified => "changed",
        Change::Removed => "bad",
        Change::Added => "good",
    };
    let shown = after.or(*before);
    let kind = if shown == Some(Entry::Directory) { Kind::Tree } else { Kind::File };
    html.within("tr", &[], |html| {
        html.element("td", &[("class", class)], change.word());
        html.within("th", &[("scope", "row"), ("class", "path")], |html| {
            html.link(&link::at(kind, commit, &link::names(path)), path);
        });
        html.within("td", &[("class", "number")], |html| match shown {
            Some(Entry::File(bytes)) => size(html, bytes),
            Some(Entry::Directory) => html.text("directory"),
            Some(Entry::Symlink) => html.text("link"),
            Some(Entry::Unknown) | None => html.text("unknown"),
        });
        let bytes = |entry: &Option<Entry>| match entry {
            Some(Entry::File(bytes)) => Some(i128::from(*bytes)),
            Some(Entry::Symlink) | None => Some(0),
            Some(Entry::Directory | Entry::Unknown) => None,
        };
        let more = bytes(after).zip(bytes(before)).map(|(after, before)| after - before);
        let text = match more {
            None => String::new(),
            Some(0) => "0".to_owned(),
            Some(more) => {
                let size = format_size(u64::try_from(more.unsigned_abs()).unwrap_or(u64::MAX));
                format!("{}{size}", if more < 0 { "−" } else { "+" })
            }
        };
        html.element("td", &[("class", "number")], &text);
    });
}
