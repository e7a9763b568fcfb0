//! The messages are those of the real program, which was given the same documents.

use super::*;

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A document about one file.
fn document(file: &str) -> String {
    format!("<metalink><files><file name=\"summary\">{file}</file></files></metalink>")
}

fn hash(hash_type: &str, digest: &str) -> String {
    format!("<verification><hash type='{hash_type}'>{digest}</hash></verification>")
}

fn url(text: &str) -> String {
    format!(
        "<url protocol=\"http\" type=\"http\" location=\"x\" preference=\"1\">http://h/{text}</url>"
    )
}

/// The usual parts of a file in front of others.
fn with(rest: &str) -> String {
    document(&format!("<size>5</size>{}{rest}", hash("sha256", EMPTY_SHA256)))
}

fn resources(urls: &str) -> String {
    with(&format!("<resources>{urls}</resources>"))
}

fn message(document: &str) -> String {
    match Metalink::parse(document.as_bytes(), "summary") {
        Ok(metalink) => panic!("{document} is read as {metalink:?}"),
        Err(error) => error.to_string(),
    }
}

fn urls(document: &str) -> Vec<String> {
    let parsed = Metalink::parse(document.as_bytes(), "summary");
    parsed.unwrap_or_else(|error| panic!("{document}: {error}")).urls
}

#[test]
fn malformed_documents_are_refused_in_upstreams_words() {
    const NO_ELEMENT: &str = "Document must begin with an element (e.g. <book>)";
    const NO_SEMICOLON: &str = "did not end with a semicolon; most likely you used an ampersand \
        character without intending to start an entity — escape ampersand as &amp;";
    for (text, expected) in [
        ("hello", format!("Error on line 1 char 1: {NO_ELEMENT}")),
        ("\nhello", format!("Error on line 1 char 2: {NO_ELEMENT}")),
        ("\n\n  hello", format!("Error on line 2 char 4: {NO_ELEMENT}")),
        ("<a/>x", format!("Error on line 1 char 5: {NO_ELEMENT}")),
        ("<a/>\n x", format!("Error on line 2 char 3: {NO_ELEMENT}")),
        ("\u{feff}<a/>", format!("Error on line 1 char 1: {NO_ELEMENT}")),
        ("&amp;<a/>", format!("Error on line 1 char 1: {NO_ELEMENT}")),
        (
            "<metalink></foo>",
            "Error on line 1 char 16: Element “foo” was closed, but the currently open element is \
             “metalink”"
                .to_owned(),
        ),
        (
            "\n\n  <a>\n</b>",
            "Error on line 3 char 5: Element “b” was closed, but the currently open element is “a”"
                .to_owned(),
        ),
        (
            "<a>\n</a>\n</b>",
            "Error on line 3 char 5: Element “b” was closed, no element is currently open"
                .to_owned(),
        ),
        ("<1a/>", "Error on line 1 char 5: “1a” is not a valid name".to_owned()),
        (
            "< a/>",
            "Error on line 1 char 2: “ ” is not a valid character following a “<” character; it \
             may not begin an element name"
                .to_owned(),
        ),
        ("<a>&foo;</a>", "Error on line 1: Entity name “foo” is not known".to_owned()),
        ("\n<a>\n<x>\n\nab&foo;", "Error on line 4: Entity name “foo” is not known".to_owned()),
        (
            "<a>\n<x a=\"\n\nab&foo;\n\"/>",
            "Error on line 4: Entity name “foo” is not known".to_owned(),
        ),
        (
            "<a>&;</a>",
            "Error on line 1: Empty entity “&;” seen; valid entities are: &amp; &quot; &lt; &gt; \
             &apos;"
                .to_owned(),
        ),
        (
            "<a>&#0;</a>",
            "Error on line 1: Character reference “0” does not encode a permitted character"
                .to_owned(),
        ),
        (
            "<a>&#x110000;</a>",
            "Error on line 1: Character reference “110000” does not encode a permitted character"
                .to_owned(),
        ),
        ("<a>&#12x;</a>", format!("Error on line 1: Character reference {NO_SEMICOLON}")),
        ("<a>& b</a>", format!("Error on line 1: Entity {NO_SEMICOLON}")),
        ("<a>&amp</a>", format!("Error on line 1: Entity {NO_SEMICOLON}")),
        ("<a b='x&'/>", format!("Error on line 1: Entity {NO_SEMICOLON}")),
        // Upstream says more about it.
        ("<a b=c/>", "Error on line 1 char 8: malformed attributes of element “a”".to_owned()),
    ] {
        assert_eq!(message(text), expected, "{text:?}");
    }
    let error = Metalink::parse(b"<a>\n\xff</a>", "summary").unwrap_err();
    assert_eq!(error.to_string(), "Error on line 2 char 2: Invalid UTF-8 encoded text");
}

#[test]
fn attributes_are_exactly_those_of_the_element() {
    let line = |position: &str, what: &str| format!("Error on line {position}: {what}");
    for (text, position, what) in [
        ("<file/>", "1 char 24", "element 'file' requires attribute 'name'"),
        ("\n<file\n\n  >", "4 char 5", "element 'file' requires attribute 'name'"),
        ("<!--é\n\n--><file/>", "3 char 11", "element 'file' requires attribute 'name'"),
        (
            "<file name=\"summary\" name=\"x\">",
            "1 char 48",
            "attribute 'name' given multiple times for element 'file'",
        ),
        (
            "<file a=\"summary\" name=\"x\">",
            "1 char 45",
            "attribute 'a' invalid for element 'file'",
        ),
    ] {
        let text = format!("<metalink><files>{text}");
        assert_eq!(message(&text), line(position, what), "{text}");
    }
    let hash = document("<size>5</size><verification><hash/>");
    assert_eq!(message(&hash), line("1 char 73", "element 'hash' requires attribute 'type'"));
    for (attributes, length, what) in [
        ("", 126, "element 'url' requires attribute 'protocol'"),
        (" protocol='a'", 139, "element 'url' requires attribute 'type'"),
        (" z='1'", 132, "element 'url' requires attribute 'protocol'"),
        (
            " protocol='a' type='b' location='c' preference='d' type='e' k='1'",
            191,
            "attribute 'type' given multiple times for element 'url'",
        ),
        (
            " protocol='a' type='b' location='c' preference='d' k='1'",
            182,
            "attribute 'k' invalid for element 'url'",
        ),
    ] {
        let text = document(&format!(
            "<size>5</size><verification><hash type=\"sha256\">x</hash></verification><resources>\
             <url{attributes}/>"
        ));
        assert_eq!(message(&text), line(&format!("1 char {length}"), what), "{text}");
    }
}

#[test]
fn what_is_missing_is_named_in_upstreams_order() {
    const NO_HASH: &str = "No <verification> hash for sha256 or sha512 found";
    for (text, expected) in [
        (String::new(), "No <file> element found"),
        ("  ".to_owned(), "No <file> element found"),
        ("<metalink><files>".to_owned(), "No <file> element found"),
        ("<metalink><fi".to_owned(), "No <file> element found"),
        ("<metalink><file name='summary'/>".to_owned(), "No <file> element found"),
        ("<metalink><files><x><file name='summary'/>".to_owned(), "No <file> element found"),
        ("<m:metalink><files><file name='summary'/>".to_owned(), "No <file> element found"),
        ("<metalink><files><file name='other'/>".to_owned(), "No <file name='summary'> found"),
        (document(""), NO_HASH),
        (document("<size>5</size>"), NO_HASH),
        (
            document("<resources><url/></resources>"),
            "Error on line 1 char 55: No <size> element found or it is zero",
        ),
        (
            document("<size>0x5</size><resources><url/></resources>"),
            "Error on line 1 char 71: No <size> element found or it is zero",
        ),
        (
            document("<size>5</size><resources><url/></resources>"),
            "Error on line 1 char 69: No <verification> element with known <hash type=> found",
        ),
        (
            with("<verification><hash type='md5'>x</hash></verification><resources><url/>"),
            "Error on line 1 char 243: No <verification> element with known <hash type=> found",
        ),
        (document(&hash("sha256", "x")), "Invalid hash digest for sha256"),
        (document(&hash("sha256", &EMPTY_SHA256.to_uppercase())), "Invalid hash digest for sha256"),
        (with(&hash("sha512", EMPTY_SHA256)), "Invalid hash digest for sha512"),
        (
            document(&(hash("sha256", "x") + &hash("sha512", &EMPTY_SHA256.repeat(2)))),
            "Invalid hash digest for sha256",
        ),
        (with(""), "No <url method='http'> elements found"),
    ] {
        assert_eq!(message(&text), expected, "{text}");
    }
    let error = Metalink::parse(b"<metalink><files><file name='a'/>", "summary.sig").unwrap_err();
    assert_eq!(error, MetalinkError::NotListed("summary.sig".to_owned()));
}

#[test]
fn urls_are_taken_in_their_order() {
    assert_eq!(urls(&resources(&(url("a") + &url("b")))), ["http://h/a", "http://h/b"]);
    for (text, expected) in [
        (url("x&amp;y&#65;&#x42;"), "http://h/x&yAB"),
        (url("<![CDATA[k]]>"), "http://h/"),
        (url("<b>c</b>").replace("http:", "https:"), "https://h/"),
        (url("a").replace("\"http\" type", "\"https\" type"), "http://h/a"),
    ] {
        assert_eq!(urls(&resources(&text)), [expected], "{text}");
    }
    // A document that ends too early is read as far as it goes.
    let whole = resources(&url("a"));
    for end in ["</url>", "</resources>"] {
        let cut = whole.split(end).next().unwrap().to_owned() + "<x a='";
        assert_eq!(urls(&cut), ["http://h/a"]);
    }
    let parts = resources(&url("a<!-- c -->http://h/b"));
    assert_eq!(urls(&parts), ["http://h/a", "http://h/b"]);
    for none in [
        url("a").replace("\"http\" type", "\"ftp\" type"),
        url("a").replace(">http:", "> http:"),
        url("a").replace(">http:", ">ftp:"),
        url("a").replace(">http:", ">file:"),
        url("a\n"),
        url(&"a".repeat(MAX_TEXT)),
    ] {
        assert_eq!(message(&resources(&none)), "No <url method='http'> elements found", "{none}");
    }
    assert_eq!(urls(&resources(&url("a").repeat(2_000))).len(), MAX_URLS);
}

#[test]
fn the_first_file_with_urls_counts_and_the_rest_must_still_be_well_formed() {
    let first = resources(&url("a"));
    let file = first.replace("<metalink><files>", "").replace("</files></metalink>", "");
    let files = |files: &str| format!("<metalink><files>{files}</files></metalink>");
    let other = file.replace("http://h/a", "http://h/b");
    assert_eq!(urls(&files(&(file.clone() + &other))), ["http://h/a"]);
    assert_eq!(urls(&files(&format!("<file name='summary'/>{file}"))), ["http://h/a"]);
    let later = format!("</files><files>{other}");
    assert_eq!(urls(&files(&(file.clone() + &later))), ["http://h/a"]);
    // What the first one said is still valid in the second one.
    let split = with("</file><file name='summary'><resources>")
        .replace("<resources></file>", &format!("<resources>{}</resources></file>", url("z")));
    assert_eq!(urls(&split), ["http://h/z"]);
    let wrong = files(&format!("{file}<file/>"));
    assert!(message(&wrong).ends_with("element 'file' requires attribute 'name'"));
    assert_eq!(
        urls(&format!("<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]>{first}")),
        ["http://h/a"]
    );
}

#[test]
fn sizes_are_read_as_far_as_they_are_numbers() {
    for (text, expected) in [
        ("5", 5),
        (" \n5 x", 5),
        ("+5", 5),
        ("5<!-- -->6", 6),
        ("99999999999999999999999", u64::MAX),
    ] {
        let document =
            resources(&url("a")).replace("<size>5</size>", &format!("<size>{text}</size>"));
        assert_eq!(Metalink::parse(document.as_bytes(), "summary").unwrap().size, expected);
    }
}

#[test]
fn content_is_held_against_size_and_digest() {
    let metalink = Metalink::parse(resources(&url("a")).as_bytes(), "summary").unwrap();
    let text = |metalink: &Metalink, content: &[u8]| {
        metalink.check(content).map_err(|error| error.to_string())
    };
    assert_eq!(
        text(&metalink, b"abcd"),
        Err("Expected size is 5 bytes but content is 4 bytes".to_owned())
    );
    let abcde = "36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c";
    assert_eq!(
        text(&metalink, b"abcde"),
        Err(format!("Expected checksum is {EMPTY_SHA256} but actual is {abcde}"))
    );
    let right = resources(&url("a")).replace(EMPTY_SHA256, abcde);
    let metalink = Metalink::parse(right.as_bytes(), "summary").unwrap();
    assert_eq!(text(&metalink, b"abcde"), Ok(()));

    let abcde = "878ae65a92e86cac011a570d4c30a7eaec442b85ce8eca0c2952b5e3cc0628c2\
        e79d889ad4d5c7c626986d452dd86374b6ffaa7cd8b67665bef2289a5c70b0a1";
    let sha512 = hash("sha512", abcde);
    let both = with(&format!("{sha512}<resources>{}</resources>", url("a")));
    let metalink = Metalink::parse(both.as_bytes(), "summary").unwrap();
    assert_eq!(text(&metalink, b"abcde"), Ok(()));
    assert_eq!(
        text(&metalink, b"abcdf").unwrap_err().split(" but ").next(),
        Some(format!("Expected checksum is {abcde}").as_str())
    );
}

#[test]
fn hostile_documents_end_soon() {
    let started = std::time::Instant::now();
    let deep = "<a>".repeat(100_000);
    assert_eq!(message(&deep), "Error on line 1 char 3004: elements are nested too deeply");
    let attributes = format!("<metalink {}/>", "a='1' ".repeat(200_000));
    assert_eq!(message(&attributes), "No <file> element found");
    let texts = resources(&url(&"&lt;x".repeat(200_000)));
    assert_eq!(message(&texts), "No <url method='http'> elements found");
    let lines = format!("{}<a>&x;</a>", "\n".repeat(1_000_000));
    assert_eq!(message(&lines), "Error on line 1000000: Entity name “x” is not known");
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}
