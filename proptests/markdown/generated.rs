//! Markdown made to a plan: every kind of image reference in every kind of block, and what must not
//! be taken for one. The plan says which destinations there are.

use everleaf::{
    clock::Timestamp,
    id::{ImageId, NoteId},
    note::{
        Body, Note, Target,
        markdown::{Syntax, destinations, destinations_read, title, title_read},
    },
};
use proptest::{collection::vec, prelude::*, sample::select};

/// A way to write an image.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// With `@` in place of the destination, and `#` in place of a label of its own.
    written: &'static str,
    /// What may stand there.
    names: &'static [&'static str],
    syntax: Syntax,
    /// `written` uses this definition.
    definition: Option<&'static str>,
}

const PLAIN: &[&str] = &[
    "a.png",
    "x/c.png",
    "%20d.png",
    "é.png",
    "日記/パン.png",
    "a_b.png",
    "a\\_b.png",
    "a\\(b.png",
    "a(1).png",
    "a&amp;b.png",
    "./a.png",
    "https://x/a.png?b=c&d",
    "blake3:00",
    "a*b*.png",
];
const POINTED: &[&str] =
    &["a.png", "a b.png", "a(b.png", "", "a\\>b.png", "a%20b.png", "日 記.png", "a'b\".png"];
const QUOTED: &[&str] =
    &["a.png", "a b.png", "a&amp;b.png", "(a).png", "%20.png", "é.png", "a_*b.png"];
const UNQUOTED: &[&str] = &["a.png", "x/c.png", "%20d.png", "é.png", "a&amp;b.png"];
const WIKI: &[&str] = &["a.png", "a b.png", "x/c d.png#left", "a_b_*c*.png", "日記.png"];

const fn form(written: &'static str, names: &'static [&'static str], syntax: Syntax) -> Form {
    Form { written, names, syntax, definition: None }
}

const fn defined(
    written: &'static str,
    definition: &'static str,
    names: &'static [&'static str],
) -> Form {
    Form { written, names, syntax: Syntax::Reference, definition: Some(definition) }
}

const FORMS: [Form; 23] = [
    form("![k](@)", PLAIN, Syntax::Inline),
    form("![](@ \"t\")", PLAIN, Syntax::Inline),
    form("![*k* `]`](@ 't')", PLAIN, Syntax::Inline),
    form("![k\\]](  @  (t) )", PLAIN, Syntax::Inline),
    form("![k](<@>)", POINTED, Syntax::Inline),
    form("![k](<@> \"t (\")", POINTED, Syntax::Inline),
    form("[![k](@)](out.png)", PLAIN, Syntax::Inline),
    form("**![k](@)** ~~x~~", PLAIN, Syntax::Inline),
    form("![a ![b](in.png)](@)", PLAIN, Syntax::Inline),
    form("![[@]]", WIKI, Syntax::Wiki),
    form("![[@|300]]", WIKI, Syntax::Wiki),
    form("*![[@|a b]]*", WIKI, Syntax::Wiki),
    form("<img src=\"@\" alt='>'>", QUOTED, Syntax::HtmlSrc),
    form("<IMG alt=\"<\" SRC='@' />", QUOTED, Syntax::HtmlSrc),
    form("<img src=@>", UNQUOTED, Syntax::HtmlSrc),
    form("<img data-src=no.png width=3 src=@ hidden>", UNQUOTED, Syntax::HtmlSrc),
    form("<img srcset=\"@ 2x\">", UNQUOTED, Syntax::HtmlSrcset),
    form("<source srcset='@'>", UNQUOTED, Syntax::HtmlSrcset),
    defined("![#]", "[#]: @", PLAIN),
    defined("![k][#] ![#][]", "[#]: @ 't'", PLAIN),
    defined("![k][#]", "[#]: <@> \"t\"", POINTED),
    defined("![k][#] [#]", "[#]:   <@>", POINTED),
    defined("![*k*][#]", "[#]:\n@", PLAIN),
];

/// What looks like an image and is none.
const DECOYS: [&str; 13] = [
    "`![](no.png)`",
    "`` ` ![[no.png]] ``",
    "\\![k](no.png)",
    "!\\[k](no.png)",
    "\\![[no.png]]",
    "[k](no.png)",
    "![k](no no.png)",
    "![none]",
    "<!-- ![](no.png) <img src=no.png> -->",
    "<https://no.png>",
    "<a href=\"no.png\">k</a>",
    "![[]]",
    "<b title='<img src=no.png>'>",
];

#[derive(Debug, Clone)]
enum Inline {
    Word(&'static str),
    Image(Form, &'static str),
    Decoy(&'static str),
    Break,
}

/// What stands around other blocks.
#[derive(Debug, Clone, Copy)]
enum Around {
    Quote,
    Callout,
    Bullet,
    Task,
    Numbered,
    Footnote,
}

#[derive(Debug, Clone)]
enum Block {
    Paragraph(Vec<Inline>),
    Heading(Vec<Inline>, usize),
    Setext(Vec<Inline>),
    /// The rows of a table, a cell each.
    Table(Vec<Vec<Inline>>),
    /// Only what is HTML counts in it.
    Html(Vec<Inline>),
    /// Nothing counts in it.
    Code(Vec<Inline>, &'static str),
    Nested(Around, Vec<Block>),
}

fn inline() -> impl Strategy<Value = Inline> {
    let image = select(&FORMS[..])
        .prop_flat_map(|form| select(form.names).prop_map(move |name| Inline::Image(form, name)));
    prop_oneof![
        4 => image,
        2 => select(vec!["word", "é", "日記", "\u{fffc}", "x < y", "2 * 3", "a\\*b", "!"]).prop_map(Inline::Word),
        1 => select(&DECOYS[..]).prop_map(Inline::Decoy),
        1 => Just(Inline::Break),
    ]
}

fn block() -> impl Strategy<Value = Block> {
    let inlines = || vec(inline(), 1..5);
    let leaf = prop_oneof![
        4 => inlines().prop_map(Block::Paragraph),
        1 => (inlines(), 1..7_usize).prop_map(|(inlines, level)| Block::Heading(inlines, level)),
        1 => inlines().prop_map(Block::Setext),
        1 => vec(inlines(), 1..3).prop_map(Block::Table),
        1 => inlines().prop_map(Block::Html),
        1 => (inlines(), select(vec!["```", "~~~~", "    "])).prop_map(|(inlines, fence)| Block::Code(inlines, fence)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let around = select(vec![
            Around::Quote,
            Around::Callout,
            Around::Bullet,
            Around::Task,
            Around::Numbered,
            Around::Footnote,
        ]);
        (around, vec(inner, 1..3)).prop_map(|(around, blocks)| Block::Nested(around, blocks))
    })
}

/// What is written, and what is to be found in it.
#[derive(Debug, Default)]
struct Plan {
    labels: usize,
    in_footnote: bool,
    definitions: Vec<String>,
    expected: Vec<(String, Syntax)>,
}

/// Where inlines stand.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Text,
    Cell,
    Html,
    Code,
}

impl Plan {
    fn image(&mut self, form: Form, name: &str, place: Place) -> String {
        let is_html = matches!(form.syntax, Syntax::HtmlSrc | Syntax::HtmlSrcset);
        let counts = match place {
            Place::Text | Place::Cell => true,
            Place::Html => is_html,
            Place::Code => false,
        };
        let label = format!("ref {}", self.labels);
        self.labels += 1;
        if counts {
            self.expected.push((name.to_owned(), form.syntax));
            if let Some(definition) = form.definition {
                self.definitions.push(definition.replace('#', &label).replace('@', name));
            }
        }
        let written = form.written.replace('#', &label).replace('@', name);
        if place == Place::Cell { written.replace('|', "\\|") } else { written }
    }

    fn inlines(&mut self, inlines: &[Inline], place: Place) -> String {
        // A word first: a tag alone in its line would begin a block of HTML.
        let mut text = "begins".to_owned();
        for inline in inlines {
            text.push(' ');
            match inline {
                Inline::Word(word) => text += word,
                Inline::Image(form, name) => text += &self.image(*form, name, place),
                Inline::Decoy(decoy) if place == Place::Html => text += &decoy.replace('<', "("),
                Inline::Decoy(decoy) => text += decoy,
                Inline::Break if place == Place::Text => text += "\\\nand",
                Inline::Break => {}
            }
        }
        text
    }

    fn block(&mut self, block: &Block) -> String {
        match block {
            Block::Paragraph(inlines) => self.inlines(inlines, Place::Text),
            Block::Heading(inlines, level) => {
                let text = self.inlines(inlines, Place::Text).replace("\\\n", " ");
                format!("{} {text} #", "#".repeat(*level))
            }
            Block::Setext(inlines) => self.inlines(inlines, Place::Text) + "\n===",
            Block::Table(rows) => {
                let row =
                    |cell: &Vec<Inline>| format!("| {} | x |\n", self.inlines(cell, Place::Cell));
                format!("| h | i |\n|---|:-:|\n{}", rows.iter().map(row).collect::<String>())
            }
            Block::Html(inlines) => {
                format!("<div>\n{}\n</div>", self.inlines(inlines, Place::Html))
            }
            // Behind a list it would be part of its last item.
            Block::Code(inlines, "    ") => {
                format!("***\n\n    {}", self.inlines(inlines, Place::Code))
            }
            Block::Code(inlines, fence) => {
                format!("{fence}md\n{}\n{fence}", self.inlines(inlines, Place::Code))
            }
            Block::Nested(around, blocks) => {
                // A footnote holds no other.
                let around = match around {
                    Around::Footnote if self.in_footnote => Around::Bullet,
                    around => *around,
                };
                let outside = self.in_footnote;
                self.in_footnote |= matches!(around, Around::Footnote);
                let inner = format!("in\n\n{}", self.blocks(blocks));
                self.in_footnote = outside;
                self.labels += 1;
                let footnote = format!("[^{}]: ", self.labels);
                let (first, rest) = match around {
                    Around::Quote => ("> ", "> "),
                    Around::Callout => ("> [!note]- Title\n> ", "> "),
                    Around::Bullet => ("- ", "  "),
                    Around::Task => ("- [ ] ", "  "),
                    Around::Numbered => ("1. ", "   "),
                    Around::Footnote => (footnote.as_str(), "    "),
                };
                format!("{first}{}", inner.replace('\n', &format!("\n{rest}")))
            }
        }
    }

    fn blocks(&mut self, blocks: &[Block]) -> String {
        blocks.iter().map(|block| self.block(block)).collect::<Vec<_>>().join("\n\n")
    }
}

/// A whole document, with its definitions before or behind the rest.
fn document() -> impl Strategy<Value = (String, Vec<(String, Syntax)>)> {
    let ends = select(vec!["\n", "\r\n"]);
    (vec(block(), 1..5), any::<bool>(), any::<bool>(), ends).prop_map(
        |(blocks, front, first, end)| {
            let mut plan = Plan::default();
            let text = plan.blocks(&blocks);
            let definitions = plan.definitions.join("\n\n");
            let parts = if first { [definitions, text] } else { [text, definitions] };
            let front = if front { "---\ncover: ![](no.png)\n---\n" } else { "" };
            let source = format!("{front}{}\n", parts.join("\n\n")).replace('\n', end);
            plan.expected.sort_by_key(|(name, syntax)| (name.clone(), format!("{syntax:?}")));
            (source, plan.expected)
        },
    )
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// Just what was planned is found, each is an embed, and the source is what it was.
    #[test]
    fn every_image_in_every_block_is_found_and_nothing_else((source, expected) in document()) {
        let mut found: Vec<_> = destinations(&source)
            .into_iter()
            .map(|one| (source[one.range].to_owned(), one.syntax))
            .collect();
        found.sort_by_key(|(name, syntax)| (name.clone(), format!("{syntax:?}")));
        prop_assert_eq!(&found, &expected, "in\n{}", source);

        let image = ImageId::from_bytes([1; 32]);
        let body = Body::parse(&source, |_| Some(Target { image, path: None, name: None }));
        let mut names: Vec<_> = body.embeds().map(|embed| embed.name.clone()).collect();
        names.sort();
        let mut planned: Vec<_> = expected.into_iter().map(|(name, _)| name).collect();
        planned.sort();
        prop_assert_eq!(names, planned);
        prop_assert_eq!(body.source(), source.clone());
        let mut note = Note::new(NoteId::from_bytes([1; 16]), [1; 8]);
        note.create(None, &body, Timestamp(0)).unwrap();
        prop_assert_eq!(note.body().source(), source);
    }

    /// What is told at a glance is what reading all of it tells.
    #[test]
    fn shortcuts_find_what_a_whole_reading_finds(
        (source, _) in document(),
        heading in select(vec!["", "# One\n", "## a `b` *c* &amp; <i>d</i> ##\n", "#\n", "# [x]\n",
            "\r\n# One\r\n", "   # One\n", "#One\n", "####### no\n", "# \\# \n", "# <!--\n", "# `\n"]),
        marks in vec(
            select(vec!["!", "[", "]", "(a.png)", "<", "img", "IMG src=a.png", "source srcset=b", ">",
                "\n", "\n\n", "# ", "- ", "\r", "\t", "`", "```\n", "---\n", "===\n", "a", "é", "|", "\\",
                "[a]: b.png\n", "*", "&lt;", "\0"]),
            0..24,
        ),
    ) {
        let marks = marks.concat();
        for source in [heading.to_owned() + &source, heading.to_owned() + &marks, marks] {
            prop_assert_eq!(destinations(&source), destinations_read(&source), "in {:?}", source);
            prop_assert_eq!(title(&source), title_read(&source), "of {:?}", source);
        }
    }
}
