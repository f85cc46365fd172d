//! A letter: one shape for all, written as text and as simple HTML.

use serde::{Deserialize, Serialize};

use crate::Locale;

/// What a mail says, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Content {
    /// The subject.
    pub subject: String,
    /// For readers of plain text.
    pub text: String,
    /// For all others.
    pub html: String,
}

/// A letter before it is written out.
pub struct Letter {
    /// Its language.
    pub locale: Locale,
    /// The subject; no secret may stand in it.
    pub subject: String,
    /// To whom: a name, or empty.
    pub name: String,
    /// What it says, paragraph by paragraph.
    pub paragraphs: Vec<String>,
    /// A link to follow: what it is called and where it leads.
    pub link: Option<(String, String)>,
    /// Why it came.
    pub reason: String,
}

impl Letter {
    /// Writes it out.
    pub fn write(&self) -> Content {
        Content {
            // A line break in a name must not end the subject.
            subject: self.subject.replace(['\r', '\n'], " "),
            text: self.text(),
            html: self.html(),
        }
    }

    /// What it says, without greeting and link: for the portal.
    pub fn body(&self) -> String {
        self.paragraphs.join("\n")
    }

    fn greeting(&self) -> String {
        match (self.locale, self.name.trim()) {
            (Locale::De, "") => "Guten Tag,".into(),
            (Locale::De, name) => format!("Guten Tag {name},"),
            (Locale::En, "") => "Hello,".into(),
            (Locale::En, name) => format!("Hello {name},"),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.greeting());
        for paragraph in &self.paragraphs {
            text.push_str(&format!("\n{paragraph}\n"));
        }
        if let Some((label, address)) = &self.link {
            text.push_str(&format!("\n{label}:\n{address}\n"));
        }
        text.push_str(&format!("\n-- \n{}\n", self.reason));
        text
    }

    fn html(&self) -> String {
        let mut body = format!("<p>{}</p>\n", escape(&self.greeting()));
        for paragraph in &self.paragraphs {
            body.push_str(&format!("<p>{}</p>\n", escape(paragraph)));
        }
        if let Some((label, address)) = &self.link {
            body.push_str(&format!(
                "<p><a href=\"{}\" style=\"display:inline-block;padding:10px 16px;background:#1c7ed6;\
                 color:#ffffff;text-decoration:none;border-radius:6px\">{}</a></p>\n",
                escape(address),
                escape(label)
            ));
        }
        format!(
            "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{}</title></head>\n\
             <body style=\"font-family:sans-serif;line-height:1.5;color:#212529;max-width:560px\">\n\
             {body}<p style=\"font-size:12px;color:#868e96\">{}</p>\n</body></html>\n",
            self.locale.tag(),
            escape(&self.subject),
            escape(&self.reason)
        )
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_bring_html_or_headers_along() {
        let letter = Letter {
            locale: Locale::En,
            subject: "Budget of A\r\nBcc: everybody@example.com".into(),
            name: "<script>alert(1)</script>".into(),
            paragraphs: vec!["5 < 6 & \"7\"".into()],
            link: Some(("Open".into(), "https://x.example/?a=1&b=\"".into())),
            reason: "Because.".into(),
        };
        let content = letter.write();
        assert_eq!(content.subject, "Budget of A  Bcc: everybody@example.com");
        assert!(!content.html.contains("<script>"), "{}", content.html);
        assert!(content.html.contains("5 &lt; 6 &amp; &quot;7&quot;"));
        assert!(
            content
                .html
                .contains("href=\"https://x.example/?a=1&amp;b=&quot;\"")
        );
        assert!(content.text.contains("5 < 6 & \"7\""));
        assert!(
            content
                .text
                .contains("\nOpen:\nhttps://x.example/?a=1&b=\"\n")
        );
    }
}
