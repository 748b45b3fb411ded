create table lunacast_posts (
  id bigint generated always as identity primary key,
  user_id bigint not null references lunacast_users (id) on delete cascade,
  title text not null,
  body text not null,
  version bigint not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create index lunacast_posts_user_id on lunacast_posts (user_id, id);
create index lunacast_posts_created_at on lunacast_posts (created_at);
