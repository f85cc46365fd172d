//! The letters, one function each. A new one is a struct of what it tells and a
//! function that puts it into both languages.

use cf_base::{Currency, Nanos};

use crate::{Letter, Locale};

/// Whose budget a notice is about.
pub enum BudgetOf<'a> {
    /// The reader's own.
    Reader,
    /// That of a tenant with this name.
    Tenant(&'a str),
}

/// What a budget notice tells. Days are written as `2026-01-31`.
pub struct BudgetNotice<'a> {
    /// The reader's name; may be empty.
    pub name: &'a str,
    /// Whose budget.
    pub of: BudgetOf<'a>,
    /// Which of the budgets, where there are several; empty for the only one.
    pub window: &'a str,
    /// The threshold that was reached, in percent.
    pub percent: i64,
    /// Spent in this period.
    pub used: Nanos,
    /// What may be spent.
    pub limit: Nanos,
    /// In which currency.
    pub currency: Currency,
    /// The day on which the next period begins, where there is one.
    pub renews: Option<&'a str>,
    /// The day on which the budget is used up at this pace, if before that.
    pub used_up: Option<&'a str>,
    /// Where the portal is.
    pub portal: &'a str,
}

/// That a part of a budget, or all of it, is used up.
pub fn budget_notice(notice: &BudgetNotice<'_>, locale: Locale) -> Letter {
    let de = locale == Locale::De;
    let percent = notice.percent;
    let all = percent >= 100;
    let window = if notice.window.is_empty() {
        String::new()
    } else {
        format!(" ({})", notice.window)
    };
    let whose = match (&notice.of, de) {
        (BudgetOf::Reader, true) => format!("Ihr Budget{window}"),
        (BudgetOf::Reader, false) => format!("Your budget{window}"),
        (BudgetOf::Tenant(name), true) => format!("Das Budget von {name}{window}"),
        (BudgetOf::Tenant(name), false) => format!("The budget of {name}{window}"),
    };
    let subject = match (de, all) {
        (true, true) => format!("{whose} ist aufgebraucht"),
        (true, false) => format!("{whose} ist zu {percent} Prozent verbraucht"),
        (false, true) => format!("{whose} is used up"),
        (false, false) => format!("{whose} is {percent} percent used"),
    };
    let used = locale.amount(notice.used, notice.currency);
    let limit = locale.amount(notice.limit, notice.currency);
    let mut paragraphs = vec![if de {
        format!("{subject}: {used} von {limit}.")
    } else {
        format!("{subject}: {used} of {limit}.")
    }];
    if all {
        paragraphs.push(
            locale
                .choose(
                    "Aufrufe, die das Budget nicht mehr deckt, werden abgelehnt.",
                    "Calls that the budget does not cover any more are refused.",
                )
                .to_owned(),
        );
    } else if let Some(day) = notice.used_up {
        let day = locale.day(day);
        paragraphs.push(if de {
            format!("Geht es so weiter, ist es am {day} aufgebraucht.")
        } else {
            format!("At this pace it is used up on {day}.")
        });
    }
    if let Some(day) = notice.renews {
        let day = locale.day(day);
        paragraphs.push(if de {
            format!("Der nächste Zeitraum beginnt am {day}.")
        } else {
            format!("The next period begins on {day}.")
        });
    }
    let reason = match notice.of {
        BudgetOf::Reader => locale.choose(
            "Sie erhalten diese Nachricht, weil Sie hier ein Budget haben.",
            "You receive this message because you have a budget here.",
        ),
        BudgetOf::Tenant(_) => locale.choose(
            "Sie erhalten diese Nachricht, weil Sie diesen Mandanten verwalten.",
            "You receive this message because you administer this tenant.",
        ),
    };
    Letter {
        locale,
        subject,
        name: notice.name.to_owned(),
        paragraphs,
        link: Some((
            locale.choose("Zum Portal", "Open the portal").to_owned(),
            notice.portal.to_owned(),
        )),
        reason: reason.to_owned(),
    }
}

/// Why a provider key does not work.
pub enum KeyTrouble<'a> {
    /// The provider does not take its secret.
    Credentials,
    /// Its account is out of credit.
    OutOfCredit,
    /// It does not let the key have this model.
    Access(&'a str),
    /// The provider does not know this model.
    UnknownModel(&'a str),
}

/// What a notice about a provider key tells.
pub struct KeyNotice<'a> {
    /// The reader's name; may be empty.
    pub name: &'a str,
    /// The key's name.
    pub key: &'a str,
    /// The provider's name.
    pub provider: &'a str,
    /// What is wrong.
    pub trouble: KeyTrouble<'a>,
    /// Where the portal is.
    pub portal: &'a str,
}

/// That a provider key, or a model with it, is not asked for the time being.
pub fn key_notice(notice: &KeyNotice<'_>, locale: Locale) -> Letter {
    let de = locale == Locale::De;
    let KeyNotice { key, provider, .. } = notice;
    let (subject, cause) = match (&notice.trouble, de) {
        (KeyTrouble::Credentials, true) => (
            format!("Der Anbieterschlüssel {key} wird abgelehnt"),
            format!("{provider} nimmt den Schlüssel nicht mehr an."),
        ),
        (KeyTrouble::Credentials, false) => (
            format!("The provider key {key} is refused"),
            format!("{provider} does not take the key any more."),
        ),
        (KeyTrouble::OutOfCredit, true) => (
            format!("Das Guthaben des Anbieterschlüssels {key} ist aufgebraucht"),
            format!("Das Konto bei {provider} hat kein Guthaben mehr."),
        ),
        (KeyTrouble::OutOfCredit, false) => (
            format!("The provider key {key} is out of credit"),
            format!("The account at {provider} has no credit left."),
        ),
        (KeyTrouble::Access(model), true) => (
            format!("Kein Zugang zu {model} mit dem Anbieterschlüssel {key}"),
            format!("{provider} verweigert mit diesem Schlüssel das Modell {model}."),
        ),
        (KeyTrouble::Access(model), false) => (
            format!("No access to {model} with the provider key {key}"),
            format!("{provider} refuses the model {model} with this key."),
        ),
        (KeyTrouble::UnknownModel(model), true) => (
            format!("{provider} kennt das Modell {model} nicht"),
            format!("Mit dem Anbieterschlüssel {key} gibt es das Modell {model} nicht."),
        ),
        (KeyTrouble::UnknownModel(model), false) => (
            format!("{provider} does not know the model {model}"),
            format!("There is no model {model} with the provider key {key}."),
        ),
    };
    let consequence = match (&notice.trouble, de) {
        (KeyTrouble::Credentials | KeyTrouble::OutOfCredit, true) => {
            "Er wird beiseitegelegt: Anfragen gehen an andere Schlüssel, wo es welche gibt. Ab und zu \
             wird er mit einer Anfrage erneut versucht; nach dem Speichern oder Testen im Portal sofort."
        }
        (KeyTrouble::Credentials | KeyTrouble::OutOfCredit, false) => {
            "It is set aside: calls go to other keys where there are any. Now and then one call tries it \
             again; after it was saved or tested in the portal, at once."
        }
        (_, true) => {
            "Andere Modelle mit diesem Schlüssel sind nicht betroffen. Ab und zu wird das Modell mit einer \
             Anfrage erneut versucht."
        }
        (_, false) => {
            "Other models with this key are not affected. Now and then one call tries the model again."
        }
    };
    Letter {
        locale,
        subject,
        name: notice.name.to_owned(),
        paragraphs: vec![cause, consequence.to_owned()],
        link: Some((
            locale.choose("Zum Portal", "Open the portal").to_owned(),
            notice.portal.to_owned(),
        )),
        reason: locale
            .choose(
                "Sie erhalten diese Nachricht, weil Sie die Anbieterschlüssel verwalten.",
                "You receive this message because you administer the provider keys.",
            )
            .to_owned(),
    }
}

/// That mail works, for an administrator who tries it out.
pub fn try_out(portal: &str, locale: Locale) -> Letter {
    Letter {
        locale,
        subject: locale
            .choose("Der Mailversand funktioniert", "Sending mail works")
            .to_owned(),
        name: String::new(),
        paragraphs: vec![
            locale
                .choose(
                    "Diese Nachricht wurde im Portal zur Probe verschickt.",
                    "This message was sent from the portal to try it out.",
                )
                .to_owned(),
        ],
        link: Some((
            locale.choose("Zum Portal", "Open the portal").to_owned(),
            portal.to_owned(),
        )),
        reason: locale
            .choose(
                "Sie haben sie selbst angefordert.",
                "You asked for it yourself.",
            )
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(percent: i64) -> BudgetNotice<'static> {
        BudgetNotice {
            name: "Max Mustermann",
            of: BudgetOf::Reader,
            window: "",
            percent,
            used: Nanos(8_000_000_000),
            limit: Nanos(10_000_000_000),
            currency: Currency::EUR,
            renews: Some("2026-02-09"),
            used_up: Some("2026-01-24"),
            portal: "https://admin.example.com/",
        }
    }

    #[test]
    fn a_notice_says_how_much_is_used_until_when_it_lasts_and_when_it_renews() {
        let german = budget_notice(&notice(80), Locale::De).write();
        assert_eq!(german.subject, "Ihr Budget ist zu 80 Prozent verbraucht");
        assert_eq!(
            german.text,
            "Guten Tag Max Mustermann,\n\n\
             Ihr Budget ist zu 80 Prozent verbraucht: 8,00 EUR von 10,00 EUR.\n\n\
             Geht es so weiter, ist es am 24.01.2026 aufgebraucht.\n\n\
             Der nächste Zeitraum beginnt am 09.02.2026.\n\n\
             Zum Portal:\nhttps://admin.example.com/\n\n\
             -- \nSie erhalten diese Nachricht, weil Sie hier ein Budget haben.\n"
        );
        let english = budget_notice(&notice(80), Locale::En).write();
        assert!(
            english.text.contains("EUR 8.00 of EUR 10.00"),
            "{}",
            english.text
        );
        assert!(english.text.contains("used up on 24 January 2026"));
        assert!(english.html.contains("<html lang=\"en\">"));
    }

    #[test]
    fn a_key_notice_says_what_is_wrong_and_what_becomes_of_calls() {
        let notice = |trouble| KeyNotice {
            name: "Max Mustermann",
            key: "OpenAI Europe",
            provider: "OpenAI",
            trouble,
            portal: "https://admin.example.com/",
        };
        let german = key_notice(&notice(KeyTrouble::Credentials), Locale::De);
        assert_eq!(
            german.subject,
            "Der Anbieterschlüssel OpenAI Europe wird abgelehnt"
        );
        assert!(german.body().contains("andere Schlüssel"));
        let english = key_notice(&notice(KeyTrouble::Access("gpt-5")), Locale::En);
        assert_eq!(
            english.subject,
            "No access to gpt-5 with the provider key OpenAI Europe"
        );
        assert!(english.body().contains("Other models"));
    }

    #[test]
    fn a_used_up_budget_has_no_forecast_but_a_consequence() {
        let letter = budget_notice(&notice(100), Locale::En);
        assert_eq!(letter.subject, "Your budget is used up");
        assert!(letter.body().contains("are refused"));
        assert!(!letter.body().contains("At this pace"));
        let tenant = BudgetNotice {
            of: BudgetOf::Tenant("Acme"),
            window: "day",
            ..notice(100)
        };
        assert_eq!(
            budget_notice(&tenant, Locale::De).subject,
            "Das Budget von Acme (day) ist aufgebraucht"
        );
    }
}
