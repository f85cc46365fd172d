//! Descriptors against the migrated schema.

use std::collections::BTreeSet;

use cf_collections::{FieldKind, Schema, Source};
use cf_testkit::databases;

#[tokio::test]
async fn every_column_is_described_and_every_description_has_its_column() {
    for test in databases().await {
        for collection in Schema::system().iter() {
            let sql = if test.db.is_postgres() {
                "select column_name::text from information_schema.columns where table_name = $1"
            } else {
                "select name from pragma_table_info($1)"
            };
            let rows = test
                .db
                .query(sql, vec![collection.table.into()])
                .await
                .unwrap();
            let there: BTreeSet<String> = rows.iter().map(|r| r.at(0).unwrap()).collect();
            let mut described: BTreeSet<String> = collection
                .internal
                .iter()
                .map(|c| (*c).to_owned())
                .collect();
            for field in &collection.fields {
                if let Source::Column(column) = field.source {
                    assert!(described.insert(column.to_owned()), "{column} twice");
                }
            }
            assert_eq!(there, described, "{} on {}", collection.name, test.name);
            for column in collection.from_hook {
                assert!(collection.internal.contains(column));
            }
        }
    }
}

#[tokio::test]
async fn unique_indexes_are_the_schemas() {
    for test in databases().await {
        for collection in Schema::system().iter() {
            let sql = if test.db.is_postgres() {
                "select indexname::text from pg_indexes where tablename = $1 \
                 and indexdef like 'CREATE UNIQUE%' and indexname not like '%_pkey'"
            } else {
                "select name from pragma_index_list($1) where \"unique\" = 1 and origin = 'c'"
            };
            let rows = test
                .db
                .query(sql, vec![collection.table.into()])
                .await
                .unwrap();
            let there: BTreeSet<String> = rows.iter().map(|r| r.at(0).unwrap()).collect();
            let described: BTreeSet<String> = collection
                .unique
                .iter()
                .map(|u| u.index.to_owned())
                .collect();
            assert_eq!(there, described, "{} on {}", collection.name, test.name);
        }
    }
}

#[test]
fn ids_and_relations_hold_together() {
    let schema = Schema::system();
    let mut ids = BTreeSet::new();
    for collection in schema.iter() {
        assert!(ids.insert(collection.id), "{} twice", collection.id);
        assert_eq!(collection.id.len(), 14, "{}", collection.id);
        assert_eq!(schema.get(collection.id).unwrap().name, collection.name);
        assert!(matches!(collection.fields[0].kind, FieldKind::Id));
        for field in &collection.fields {
            if let FieldKind::Relation { collection: to, .. } = field.kind {
                assert!(schema.get(to).is_some(), "{} points at {to}", field.name);
            }
        }
    }
    assert_eq!(schema.get("_superusers").unwrap().id, "pbc_3142635823");
}

#[test]
fn a_descriptor_is_shown_as_pocketbase_shows_it() {
    let shown = Schema::system().get("users").unwrap().to_json();
    assert_eq!(shown["type"], "auth");
    assert_eq!(shown["deleteRule"], serde_json::Value::Null);
    let fields = shown["fields"].as_array().unwrap();
    let password = fields.iter().find(|f| f["name"] == "password").unwrap();
    assert_eq!(password["hidden"], true);
    let tenant = fields.iter().find(|f| f["name"] == "tenant_id").unwrap();
    assert_eq!(tenant["collectionId"], "pbc_9531482610");
}
