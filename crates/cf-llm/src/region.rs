//! Where a deployment works, and whether a tenant that is limited to regions may
//! be served there. What is not known is nowhere: it serves no such tenant.

use crate::Provider;
use crate::place::Place;

/// The European Union in a tenant's list: these regions of AWS, Google and Azure.
/// London, Zurich and Oslo are not in it, whatever their names begin with.
const EU: [&str; 36] = [
    "eu",
    // AWS
    "eu-central-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-3",
    "eusc-de-east-1",
    // Google
    "europe-central2",
    "europe-north1",
    "europe-north2",
    "europe-southwest1",
    "europe-west1",
    "europe-west3",
    "europe-west4",
    "europe-west8",
    "europe-west9",
    "europe-west10",
    "europe-west12",
    // Azure
    "austriaeast",
    "belgiumcentral",
    "denmarkeast",
    "finlandcentral",
    "francecentral",
    "francesouth",
    "germanynorth",
    "germanywestcentral",
    "greececentral",
    "italynorth",
    "northeurope",
    "polandcentral",
    "spaincentral",
    "swedencentral",
    "swedensouth",
    "westeurope",
    // The operator's own word for it.
    "europe",
];

/// Where a deployment works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorksIn {
    /// In this process: what is asked goes nowhere.
    Here,
    /// In this region, or group of regions.
    Region(String),
    /// Nobody knows.
    Unknown,
}

impl WorksIn {
    /// Whether a tenant with these regions may be served; an empty list is anywhere.
    /// `eu` stands for all of the European Union, `us-*` for what begins so.
    pub fn is_allowed(&self, regions: &[String]) -> bool {
        if regions.is_empty() {
            return true;
        }
        let region = match self {
            Self::Here => return true,
            Self::Unknown => return false,
            Self::Region(region) => region,
        };
        regions.iter().any(|allowed| {
            let allowed = allowed.trim().to_ascii_lowercase();
            match (&*allowed, allowed.strip_suffix('*')) {
                ("eu" | "europe", _) => EU.contains(&&**region),
                // A star alone would be no limit.
                (_, Some(beginning)) => !beginning.is_empty() && region.starts_with(beginning),
                (exact, None) => exact == region,
            }
        })
    }
}

impl Place<'_> {
    /// Where the deployment works: what the model's name says, else what the
    /// provider key says, else what its address says.
    pub fn works_in(&self) -> WorksIn {
        if self.provider == Provider::Demo {
            return WorksIn::Here;
        }
        if self.provider == Provider::Bedrock {
            match bedrock_profile(self.model) {
                // Europe as AWS has it is more than the Union: it calls London one of
                // the regions of such profiles.
                Profile::Of(area) if area == "eu" => return said_to_be(&self.settings.works_in),
                Profile::Of(area) => return WorksIn::Region(area),
                // Its regions are written where only its owner sees them.
                Profile::OfTheAccount => return said_to_be(&self.settings.works_in),
                Profile::None => {}
            }
        }
        let said = said_to_be(match &*self.settings.works_in {
            "" => self.region,
            said => said,
        });
        if said != WorksIn::Unknown {
            return said;
        }
        let host = self.base_url.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split(['/', ':']).next().unwrap_or_default();
        let by_address = match self.provider {
            Provider::OpenAi if host == "eu.api.openai.com" => Some("eu"),
            Provider::OpenAi if host == "us.api.openai.com" => Some("us"),
            Provider::Bedrock => host
                .strip_suffix(".amazonaws.com")
                .and_then(|host| host.strip_prefix("bedrock-runtime."))
                .filter(|region| !region.contains('.')),
            _ => None,
        };
        by_address.map_or(WorksIn::Unknown, |region| WorksIn::Region(region.into()))
    }
}

fn said_to_be(region: &str) -> WorksIn {
    match &*region.trim().to_ascii_lowercase() {
        "" => WorksIn::Unknown,
        region => WorksIn::Region(region.into()),
    }
}

enum Profile {
    /// No profile: the region that is called works on it.
    None,
    /// Any region of this area (`eu`, `us`, `global` …) may work on it.
    Of(String),
    /// A profile of the account's own.
    OfTheAccount,
}

/// What a Bedrock model's name says: `eu.anthropic.claude-…` is a profile over the
/// regions of an area, `anthropic.claude-…` is a model.
fn bedrock_profile(model: &str) -> Profile {
    if model.contains(":application-inference-profile/") || model.contains(":prompt-router/") {
        return Profile::OfTheAccount;
    }
    let name = model.rsplit('/').next().unwrap_or(model);
    let mut labels = name.split('.');
    let (Some(area), Some(vendor), Some(_)) = (labels.next(), labels.next(), labels.next()) else {
        return Profile::None;
    };
    // Versions have dots too (`zai.glm-4.7`), but vendors are words.
    let is_vendor = vendor == "ai21" || vendor.bytes().all(|b| b.is_ascii_alphabetic());
    if is_vendor {
        Profile::Of(area.to_ascii_lowercase())
    } else {
        Profile::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn works_in(provider: Provider, base_url: &str, region: &str, model: &str) -> WorksIn {
        at(provider, base_url, region, model, "")
    }

    fn at(provider: Provider, base_url: &str, region: &str, model: &str, says: &str) -> WorksIn {
        let settings = Settings {
            works_in: says.into(),
            ..Settings::default()
        };
        Place {
            provider,
            model,
            base_url,
            region,
            settings: &settings,
            project: "",
            has_plain_key: false,
        }
        .works_in()
    }

    fn eu(place: &WorksIn) -> bool {
        place.is_allowed(&["eu".into()])
    }

    #[test]
    fn a_tenant_limited_to_the_eu_is_served_in_it_only() {
        use Provider::{Anthropic, Azure, Bedrock, Gemini, OpenAi, OpenAiCompatible, Vertex};
        for (provider, base_url, region, model, allowed) in [
            (OpenAi, "", "", "gpt", false),
            (OpenAi, "https://eu.api.openai.com/v1", "", "gpt", true),
            (OpenAi, "https://us.api.openai.com/v1", "", "gpt", false),
            (
                OpenAi,
                "https://eu.api.openai.com.evil.example/v1",
                "",
                "gpt",
                false,
            ),
            (Azure, "https://r.openai.azure.com", "", "gpt", false),
            (
                Azure,
                "https://r.openai.azure.com",
                "swedencentral",
                "gpt",
                true,
            ),
            (Azure, "https://r.openai.azure.com", " EU ", "gpt", true),
            (Azure, "https://r.openai.azure.com", "uksouth", "gpt", false),
            (Vertex, "", "europe-west3", "gemini", true),
            (Vertex, "", "europe-west2", "gemini", false),
            (Vertex, "", "europe-west6", "gemini", false),
            (Vertex, "", "global", "gemini", false),
            (Gemini, "", "", "gemini", false),
            (Anthropic, "", "", "claude", false),
            (OpenAiCompatible, "http://10.0.0.1/v1", "", "llama", false),
            (OpenAiCompatible, "http://10.0.0.1/v1", "eu", "llama", true),
            (Bedrock, "", "eu-central-1", "anthropic.claude-x", true),
            (Bedrock, "", "eu-west-2", "anthropic.claude-x", false),
            // London and Zurich are in AWS's Europe.
            (Bedrock, "", "eu-central-1", "eu.anthropic.claude-x", false),
            (
                Bedrock,
                "",
                "eu-central-1",
                "arn:aws:bedrock:eu-central-1:1:inference-profile/eu.amazon.nova-pro-v1:0",
                false,
            ),
            (
                Bedrock,
                "https://bedrock-runtime.eu-central-1.amazonaws.com",
                "",
                "arn:aws:bedrock:eu-central-1:1:application-inference-profile/abc",
                false,
            ),
            (
                Bedrock,
                "",
                "eu-central-1",
                "global.anthropic.claude-x",
                false,
            ),
            (Bedrock, "", "eu-central-1", "us.ai21.jamba", false),
            (Bedrock, "", "eu-central-1", "zai.glm-4.7", true),
            (
                Bedrock,
                "https://bedrock-runtime.eu-west-1.amazonaws.com",
                "",
                "amazon.nova-pro-v1:0",
                true,
            ),
            (
                Bedrock,
                "",
                "eu-central-1",
                "arn:aws:bedrock:eu-central-1:1:inference-profile/us.amazon.nova-pro-v1:0",
                false,
            ),
            (
                Bedrock,
                "",
                "eu-central-1",
                "arn:aws:bedrock:eu-central-1:1:application-inference-profile/abc",
                false,
            ),
        ] {
            let place = works_in(provider, base_url, region, model);
            assert_eq!(
                eu(&place),
                allowed,
                "{base_url} {region} {model}: {place:?}"
            );
        }
    }

    #[test]
    fn what_the_key_says_counts_but_not_against_the_models_own_name() {
        let profile = "arn:aws:bedrock:eu-central-1:1:application-inference-profile/abc";
        assert!(eu(&at(
            Provider::Bedrock,
            "",
            "eu-central-1",
            profile,
            "eu"
        )));
        let europe = "eu.anthropic.claude-x";
        assert!(eu(&at(Provider::Bedrock, "", "", europe, "EU")));
        assert!(!eu(&at(Provider::Bedrock, "", "", europe, "eu-west-2")));
        let everywhere = at(Provider::Bedrock, "", "", "global.amazon.nova", "eu");
        assert!(!eu(&everywhere));
        assert!(eu(&at(Provider::Gemini, "", "", "gemini", "eu")));
    }

    #[test]
    fn lists_name_regions_or_their_beginnings() {
        let allowed = |place: &WorksIn, list: &[&str]| {
            let list: Vec<String> = list.iter().map(|name| (*name).into()).collect();
            place.is_allowed(&list)
        };
        let frankfurt = WorksIn::Region("eu-central-1".into());
        assert!(allowed(&frankfurt, &[]));
        assert!(allowed(&frankfurt, &["us", "EU-Central-1"]));
        assert!(allowed(&frankfurt, &["eu-*"]));
        assert!(!allowed(&frankfurt, &["eu-central"]));
        assert!(!allowed(&frankfurt, &["*"]));
        assert!(!allowed(&frankfurt, &[""]));
        assert!(allowed(&WorksIn::Here, &["eu"]));
        assert!(!allowed(&WorksIn::Unknown, &["eu", "us-*"]));
        assert!(allowed(&WorksIn::Unknown, &[]));
    }
}
