//! Markup. Tags and names of attributes are part of the program; every text and every value is
//! escaped. No I/O.

use std::fmt::Write as _;

/// A document on its way.
#[derive(Debug, Default)]
pub(super) struct Html(String);

/// Names of attributes with their values.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Html {
    /// Starts a document of the current standard.
    pub(super) fn new() -> Self {
        Self("<!DOCTYPE html>\n".to_owned())
    }

    /// An element with what `content` writes.
    pub(super) fn within(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        content: impl FnOnce(&mut Self),
    ) {
        self.void(tag, attributes);
        content(self);
        let _ = write!(self.0, "</{tag}>");
    }

    /// An element with a text.
    pub(super) fn element(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.within(tag, attributes, |html| html.text(text));
    }

    /// An element that has no end.
    pub(super) fn void(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        let _ = write!(self.0, "<{tag}");
        for (name, value) in attributes {
            let _ = write!(self.0, " {name}=\"");
            escape(value, Lines::Escaped, &mut self.0);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Text that may have several lines.
    pub(super) fn text(&mut self, text: &str) {
        escape(text, Lines::Kept, &mut self.0);
    }

    /// A name, which is shown on one line whatever it has.
    pub(super) fn name(&mut self, name: &str) {
        escape(name, Lines::Escaped, &mut self.0);
    }

    /// A link.
    pub(super) fn link(&mut self, target: &str, text: &str) {
        self.within("a", &[("href", target)], |html| html.name(text));
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    Kept,
    Escaped,
}

/// What would be read as markup, or not be seen at all, is written in another way.
fn escape(text: &str, lines: Lines, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' if lines == Lines::Kept => out.push(character),
            // The pictures of control characters stand in their order.
            '\0'..='\x1f' => out.extend(char::from_u32(0x2400 + u32::from(character))),
            '\x7f' => out.push('\u{2421}'),
            character if is_unseen(character) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
            character => out.push(character),
        }
    }
}

/// Characters that change what others look like: further controls, and the direction of text.
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let mut html = Html::default();
        html.within("p", &[("title", "\"><script>\n'")], |html| {
            html.text("<b>&amp;</b>\n\r\0");
            html.name("a\nb\u{202e}\u{7f}");
        });
        assert_eq!(
            html.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;\u{240a}&#39;\">&lt;b&gt;&amp;amp;&lt;/b&gt;\n\
             \u{240d}\u{2400}a\u{240a}b\\u{202e}\u{2421}</p>"
        );
    }
}
