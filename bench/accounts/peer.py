"""The peer: accounts and posts in FastAPI and SQLAlchemy, with the checks that lunacast's have.

Generous to itself where it can be: pages of posts are cached in the process (no Redis), the
database is WAL with synchronous=FULL as lunacast's is here, there is no access log.
"""
import hashlib
import os
import secrets
import time
from datetime import datetime, timezone

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, Field
from sqlalchemy import ForeignKey, String, create_engine, event, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

SECRET = secrets.token_urlsafe(48)
COST = 1 << int(os.environ.get("PASSWORD_LN", "14"))
# As many connections as there are threads: with the default of 15 they wait for each other.
engine = create_engine("sqlite:///" + os.environ["DATABASE"], pool_size=40, max_overflow=0)
sessions = sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine, "connect")
def configure(connection, _):
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("pragma busy_timeout=5000")
    connection.execute("pragma foreign_keys=on")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(100), unique=True)
    salt: Mapped[bytes]
    password: Mapped[bytes]


class Post(Base):
    __tablename__ = "posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    author: Mapped[User] = relationship(lazy="joined")


class Refresh(Base):
    __tablename__ = "refresh"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    family: Mapped[str]
    used: Mapped[bool] = mapped_column(default=False)
    expires: Mapped[float]


Base.metadata.create_all(engine)
app = FastAPI()
cached: dict = {}


class Account(BaseModel):
    username: str = Field(min_length=1, max_length=100)
    password: str = Field(min_length=8, max_length=1024)


class Renewal(BaseModel):
    refresh_token: str = Field(min_length=1, max_length=200)


class Written(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    body: str = Field(min_length=1, max_length=65536)


class Shown(BaseModel):
    id: int
    title: str
    body: str
    author: str
    created_at: datetime
    updated_at: datetime


def database():
    with sessions() as session:
        yield session


def claims(authorization: str = Header()):
    try:
        return jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except jwt.PyJWTError:
        raise HTTPException(401, "not a good token")


def hashed(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=COST, r=8, p=1, maxmem=1 << 28)


def shown(post: Post, author: str) -> Shown:
    return Shown(id=post.id, title=post.title, body=post.body, author=author,
                 created_at=post.created_at, updated_at=post.updated_at)


def pair(session: Session, user_id: int, username: str, family: str) -> dict:
    now = int(time.time())
    access = jwt.encode({"sub": username, "uid": user_id, "fam": family, "iat": now, "exp": now + 900,
                         "jti": secrets.token_urlsafe(16)}, SECRET, algorithm="HS256")
    token = secrets.token_urlsafe(32)
    session.add(Refresh(digest=hashlib.sha256(token.encode()).hexdigest(), user_id=user_id,
                        family=family, expires=now + 7 * 86400))
    session.commit()
    return {"access_token": access, "refresh_token": token, "token_type": "Bearer", "expires_in": 900}


@app.post("/auth/register", status_code=201)
def register(account: Account, session: Session = Depends(database)):
    salt = secrets.token_bytes(16)
    user = User(username=account.username, salt=salt, password=hashed(account.password, salt))
    session.add(user)
    session.commit()
    return {"id": user.id, "username": user.username}


@app.post("/auth/login")
def login(account: Account, session: Session = Depends(database)):
    user = session.scalar(select(User).where(User.username == account.username))
    if user is None or not secrets.compare_digest(user.password, hashed(account.password, user.salt)):
        raise HTTPException(401, "wrong login")
    return pair(session, user.id, user.username, secrets.token_urlsafe(16))


@app.post("/auth/refresh")
def refresh(renewal: Renewal, session: Session = Depends(database)):
    digest = hashlib.sha256(renewal.refresh_token.encode()).hexdigest()
    taken = session.execute(
        update(Refresh).where(Refresh.digest == digest, Refresh.used.is_(False),
                              Refresh.expires > time.time())
        .values(used=True).returning(Refresh.user_id, Refresh.family)).first()
    if taken is None:
        raise HTTPException(401, "unknown, expired, used or revoked")
    username = session.scalar(select(User.username).where(User.id == taken.user_id))
    return pair(session, taken.user_id, username, taken.family)


@app.post("/posts", status_code=201)
def create(written: Written, who: dict = Depends(claims), session: Session = Depends(database)) -> Shown:
    now = datetime.now(timezone.utc)
    post = Post(user_id=who["uid"], title=written.title, body=written.body, created_at=now, updated_at=now)
    session.add(post)
    session.commit()
    cached.clear()
    return shown(post, who["sub"])


@app.get("/posts/{id}")
def read(id: int, response: Response, who: dict = Depends(claims),
         session: Session = Depends(database)) -> Shown:
    post = session.get(Post, id)
    if post is None:
        raise HTTPException(404, "there is no such post")
    response.headers["ETag"] = f'"{post.id}-{post.version}"'
    return shown(post, post.author.username)


# A coroutine: what is cached needs no thread.
@app.get("/posts")
async def page(limit: int = 20, who: dict = Depends(claims)):
    known = cached.get(limit)
    if known is None or known[0] < time.monotonic():
        with sessions() as session:
            posts = session.scalars(select(Post).order_by(Post.id.desc()).limit(limit)).all()
            items = [shown(post, post.author.username).model_dump_json() for post in posts]
        known = time.monotonic() + 300, '{"items":[' + ",".join(items) + '],"next":null}'
        cached[limit] = known
    return Response(known[1], media_type="application/json")
