//! Who goes on listening when another process changes an account.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn whom_another_process_shuts_out_hears_nothing_a_second_later() {
    for app in TestApp::each().await {
        let changes = [
            "update users set status = 'suspended' where id = $",
            "update users set token_key = 'of a new password' where id = $",
            "delete from users where id = $",
        ];
        for (n, change) in changes.iter().enumerate() {
            let user = app.user(&format!("user{n}")).await;
            let mut listening = user.listen(&[&format!("users/{}", user.id)]).await;
            app.root
                .change("users", &user.id, &json!({"name": "Heard"}))
                .await
                .expect(200);
            // Its own creation may come late, and is no part of this.
            while !listening.next().await.unwrap().contains("Heard") {}
            app.execute(&change.replace('$', &format!("'{}'", user.id)))
                .await;
            app.execute("update data_version set version = version + 1")
                .await;
            #[allow(clippy::disallowed_methods)] // how long it takes is what is asked
            let changed = Instant::now();
            assert_eq!(listening.next().await, None, "{}: {change}", app.name);
            assert!(changed.elapsed() < Duration::from_secs(3), "{change}");
        }
    }
}

#[tokio::test]
async fn who_is_not_shut_out_goes_on_listening() {
    for app in TestApp::each().await {
        let user = app.user("user").await;
        let mut listening = user.listen(&[&format!("users/{}", user.id)]).await;
        app.execute("update data_version set version = version + 1")
            .await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        app.root
            .change("users", &user.id, &json!({"name": "Heard"}))
            .await
            .expect(200);
        while !listening.next().await.unwrap().contains("Heard") {}
    }
}
