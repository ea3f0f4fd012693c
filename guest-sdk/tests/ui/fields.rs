use walker_sdk::prelude::*;

#[walker]
#[serde(rename_all = "camelCase")]
#[derive(Debug, Serialize, walker_sdk::schemars::JsonSchema)]
struct Sample {
    #[has(defualt = 1)]
    misspelt: i64,
    #[has = 1]
    without_brackets: i64,
    #[has(default =)]
    without_value: i64,
    #[has(default 1)]
    without_equals: i64,
    #[has(default = 1, 2)]
    too_much: i64,
    #[has]
    #[has(default = 1)]
    twice: i64,
    #[serde(rename = "other")]
    renamed: i64,
    #[serde(default)]
    serdes_own: i64,
    größe: i64,
}

#[walker]
impl Sample {
    #[entry]
    fn enter(&mut self, _here: &Root) {
        self.misspelt = self.without_value + self.renamed;
    }
}

fn main() {}
