"""The sandbox judged by a client we did not write: `syndb-api-client` drives every route and must
parse every answer.

Belongs here: routes, statuses and bodies of the published contract. Does not: attacks, or what our
own client does.
"""

from __future__ import annotations

import ast
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import duckdb
import httpx
import pytest
import syndb_api_client as api
from syndb_api_client.exceptions import ApiException

from tests.rest_lab import ADA, BOB, EVE, PASSWORD, TOM, Sandbox

LEFT_OUT = {
    ("GET", "/user/auth/oauth/github/authorize"),
    ("GET", "/user/auth/oauth/github/callback"),
    ("GET", "/user/auth/oauth/google/authorize"),
    ("GET", "/user/auth/oauth/google/callback"),
    ("GET", "/user/auth/oauth/orcid/authorize"),
    ("GET", "/user/auth/oauth/orcid/callback"),
    ("POST", "/user/auth/request-verify-token"),
    ("POST", "/user/auth/verify"),
    ("POST", "/user/profile/current/upload_url_profile_picture"),
    ("GET", "/user/profile/picture/{user_id}"),
}
"""Log-in through others, verification by e-mail, profile pictures: no step of a publication needs
them.
"""

REGION = api.BrainRegionCreateReadInput(brain_structure="hippocampus", direction="null")
MUTATION = api.MutationModelCreateRead(gene="shi", expression="knock-out")
ROOT_USER = "root@syndb.example"
ACCOUNTS: list[dict[str, Any]] = [
    {"email": ADA, "verified": True, "groups": ["lab"]},
    {"email": BOB, "verified": True, "groups": ["lab"]},
    {"email": EVE, "verified": True},
    {"email": TOM},
    {"email": ROOT_USER, "verified": True, "superuser": True},
]


def routes_of_the_client() -> set[tuple[str, str]]:
    """Method and path of every request that the generated client can make, read from its
    sources.
    """
    found = set()
    for source in (Path(api.__file__).parent / "api").glob("*_api.py"):
        for call in ast.walk(ast.parse(source.read_text())):
            if isinstance(call, ast.Call):
                words = {word.arg: word.value for word in call.keywords}
                method, path = words.get("method"), words.get("resource_path")
                if isinstance(method, ast.Constant) and isinstance(path, ast.Constant):
                    found.add((method.value, path.value))
    return found


class Calls:
    """The calls of a generated API, which has the whole path in each name, by their names' start."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        variants = ("_with_http_info", "_without_preload_content")
        known = [each for each in dir(self._api) if each.startswith(f"{name}_")]
        [call] = [each for each in known if not each.endswith(variants)]
        return getattr(self._api, call)


class Driver:
    """The generated client, logged in as one user."""

    def __init__(self, sandbox: Sandbox, email: str | None) -> None:
        token = sandbox.token(email) if email else None
        self.client = api.ApiClient(api.Configuration(host=sandbox.url, access_token=token))
        for name in ("user", "cilogon", "tag", "dataset", "metadata", "io", "benchmark", "auth"):
            made = getattr(api, f"{name.capitalize()}Api")
            setattr(self, name, Calls(made(self.client)))

    def new(self, dataset: UUID | str, **changed: Any) -> api.IdResponse:
        return self.dataset.register_new_dataset(new_dataset(dataset, **changed))

    def info(self, dataset: UUID) -> api.UploadedSingleDatasetSchema:
        return self.dataset.dataset_info(str(dataset))

    def upload(
        self, dataset: UUID, content: bytes, name: str | None = None, **changed: Any
    ) -> None:
        said = {
            "upload_start_time": datetime.now(UTC),
            "continent": "Europe",
            "country_alpha2": "NL",
            "city": "Leiden",
            "top_mbps_up": 100,
            **changed,
        }
        file = (f"{dataset}.tar" if name is None else name, content)
        self.io.upload_dataset_files(str(dataset), dataset_tar_file=file, **said)

    def delete(self, dataset: UUID, **options: Any) -> None:
        self.io.delete_dataset(str(dataset), **options)

    def create_tags(self) -> None:
        self.tag.create_animal(api.AnimalModelCreate(species=18))
        self.tag.create_brain_region(REGION)
        self.tag.create_microscopy(api.MicroscopyCreateRead(name="ssTEM"))
        self.tag.create_mutation(MUTATION)
        self.tag.create_publication(api.PublicationCreateRead(doi="10.1126/science.1"))


def new_dataset(dataset: UUID | str, **changed: Any) -> api.NewDatasetSchema:
    fields = {
        "id": str(dataset),
        "label": "Mushroom body",
        "animal": 18,
        "microscopy": "ssTEM",
        "brain_regions": [REGION],
        "syndb_tables": [1, 4],
    }
    return api.NewDatasetSchema(**(fields | changed))


def table(tmp_path: Path, query: str) -> bytes:
    path = tmp_path / f"{uuid4().hex}.parquet"
    duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def tar(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(f"{name}.parquet")
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return packed.getvalue()


def neurons(tmp_path: Path, rows: int = 3) -> bytes:
    return tar(
        neuron=table(
            tmp_path, f"SELECT uuid() AS cid, range::DOUBLE AS voxel_volume FROM range({rows})"
        )
    )


def refused(
    status: int, model: type | None, call: Callable[..., Any], *args: Any, **options: Any
) -> Any:
    """The parsed body of the refusal that the call must meet."""
    with pytest.raises(ApiException) as caught:
        call(*args, **options)
    assert caught.value.status == status
    if model is None:
        assert caught.value.data is None
    else:
        assert isinstance(caught.value.data, model)
    return caught.value.data


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("contract") / "sandbox", accounts=ACCOUNTS) as running:
        yield running


@pytest.fixture(scope="module")
def ada(sandbox: Sandbox) -> Driver:
    driver = Driver(sandbox, ADA)
    driver.create_tags()
    return driver


@pytest.fixture
def dataset(ada: Driver) -> UUID:
    made = uuid4()
    ada.new(made)
    return made


def test_every_route_of_the_client_is_served_or_on_the_short_list(tmp_path: Path) -> None:
    """One walk through everything a user can do; then the server's own record is held against the
    client's sources.
    """
    with Sandbox(tmp_path / "sandbox", accounts=ACCOUNTS) as sandbox:
        walk(sandbox, tmp_path)
        seen = [(each["method"], each["path"], each["status"]) for each in sandbox.requests()]
    known = routes_of_the_client()
    assert len(known) == 44 and known >= LEFT_OUT
    patterns = {route: re.compile(re.sub(r"\{\w+\}", "[^/]+", route[1])) for route in known}
    never = {
        route
        for route in known
        if not any(
            route[0] == method and patterns[route].fullmatch(path) for method, path, _ in seen
        )
    }
    assert never == LEFT_OUT
    assert [each for each in seen if each[2] >= 400] == [("GET", "/neurodata/io/download_url", 422)]


def walk(sandbox: Sandbox, tmp_path: Path) -> None:
    nobody = Driver(sandbox, None)
    assert api.DefaultApi(nobody.client).redirect_get()
    assert nobody.auth.auth_db_native_login(ADA, PASSWORD).token_type == "bearer"
    read = nobody.user.register_register(
        api.UserCreate(email="new@lab.example", password=PASSWORD, is_verified=True)
    )
    assert not read.is_verified
    fresh = Driver(sandbox, "new@lab.example")
    assert nobody.user.profile_from_user_id(read.id).email == "new@lab.example"
    fresh.user.set_scientist_tag("newcomer")
    assert nobody.user.profile_from_scientist_tag("newcomer").id == read.id

    page = fresh.cilogon.academic_authorize().authorization_url
    shown = httpx.get(page, trust_env=False)
    [state] = re.findall(r'name="state" value="([^"]+)"', shown.text)
    sent = httpx.post(page.partition("?")[0], data={"state": state}, trust_env=False)
    back = httpx.URL(sent.headers["location"]).params
    nobody.cilogon.academic_callback(state=back["state"], code=back["code"])
    assert fresh.user.current().is_verified

    fresh.create_tags()
    dataset = uuid4()
    assert fresh.new(dataset).id == str(dataset)
    assert fresh.info(dataset).number_of_units == 0
    assert nobody.dataset.all_datasets().uuid_to_label == {str(dataset): "Mushroom body"}
    assert fresh.dataset.modifiable_datasets().ids == [str(dataset)]
    assert str(dataset) in fresh.dataset.incomplete_datasets().uuid_to_label
    collection = api.CreateReadDatasetCollectionModel(name="flies", dataset_ids=[str(dataset)])
    fresh.dataset.new_dataset_collection(collection)
    assert fresh.info(dataset).dataset_collection_names == ["flies"]
    shared = api.SingleDatasetSchemaNoBrainRegion(
        id=str(uuid4()), label="Two", animal=18, microscopy="ssTEM"
    )
    parts = [api.MultiBrainRegionDatasetDefinition(brain_regions=[REGION])]
    made = api.CreateDatasetCollectionMultiBrainRegion(
        name="regions", dataset_brain_regions=parts, dataset_metadata=shared
    )
    answer = fresh.dataset.new_multi_region_dataset_collection(made)
    assert answer.brain_regions_to_dataset_id == {"hippocampus": shared.id}
    asked = api.DatasetTagSearchSchema(include=api.DatasetFilterSchema(animals_species=[18]))
    assert len(nobody.dataset.dataset_tag_search(asked).datasets) == 2
    assert nobody.metadata.universal_metadata().microscopy_names == ["ssTEM"]
    mine = fresh.metadata.user_metadata()
    assert dataset.int in mine.modifiable_datasets
    assert str(dataset) in mine.upload_incomplete_uuid_to_label

    fresh.upload(dataset, neurons(tmp_path))
    assert fresh.info(dataset).number_of_units == 3
    unit = uuid4()
    mesh = fresh.io.upload_dataset_mesh(str(dataset))
    assert (
        httpx.post(
            mesh.upload_url,
            data=mesh.fields,
            files={"file": (f"{unit}.glb", b"a mesh")},
            trust_env=False,
        ).status_code
        == 204
    )
    swc = fresh.io.upload_dataset_swb(str(dataset))
    assert (
        httpx.post(
            swc.upload_url,
            data=swc.fields,
            files={"file": (f"{unit}.swc", b"a tree")},
            trust_env=False,
        ).status_code
        == 204
    )
    wanted = api.S3PreSignedDownloadRequest(
        target=1, dataset_id_to_cids={str(dataset): [str(unit)]}
    )
    # The client sends no body with a GET, so all it can ever get of this route is the validation
    # error, which it parses.
    refused(422, api.HTTPValidationError, nobody.io.download_data, wanted)
    tables = api.DatasetId2SyndbTables(mapping={str(dataset): ["neuron"]})
    assert nobody.io.download_dataset_files(tables).download_url.startswith(sandbox.url)

    [result] = fresh.benchmark.neurodata_upload_benchmark_data().data
    assert result.city == "Leiden"
    told = api.NeurodataDownloadBenchmarkResultSchema(
        **result.to_dict(), dataset_ids=[str(dataset)]
    )
    fresh.benchmark.tag_search_upload_benchmark_result(told)
    kept = fresh.benchmark.tag_search_download_benchmark_results()
    assert [each.dataset_ids for each in kept.data] == [[str(dataset)]]

    fresh.delete(dataset)
    fresh.auth.auth_db_native_logout()


def test_left_out_routes_are_unknown_routes(sandbox: Sandbox) -> None:
    for method, path in LEFT_OUT:
        assert httpx.request(method, sandbox.url + path, trust_env=False).status_code == 404


def test_wrong_password_and_unknown_user_read_the_same(sandbox: Sandbox) -> None:
    auth = Driver(sandbox, None).auth
    for name, password in ((ADA, "wrong"), ("nobody@lab.example", PASSWORD)):
        body = refused(400, api.ErrorModel, auth.auth_db_native_login, name, password)
        assert body.detail.actual_instance == "LOGIN_BAD_CREDENTIALS"


def test_address_in_use_cannot_register_again(sandbox: Sandbox) -> None:
    user = Driver(sandbox, None).user
    body = refused(
        400,
        api.ErrorModel,
        user.register_register,
        api.UserCreate(email=ADA.upper(), password="another"),
    )
    assert body.detail.actual_instance == "REGISTER_USER_ALREADY_EXISTS"


def test_logout_ends_the_token_and_no_other(sandbox: Sandbox) -> None:
    one, other = Driver(sandbox, BOB), Driver(sandbox, BOB)
    one.auth.auth_db_native_logout()
    refused(401, None, one.user.current)
    assert other.user.current().email == BOB


def test_without_a_token_what_writes_is_unauthorized(
    sandbox: Sandbox, ada: Driver, dataset: UUID
) -> None:
    nobody = Driver(sandbox, None)
    refused(401, None, nobody.new, uuid4())
    refused(401, None, nobody.upload, dataset, b"x")
    refused(401, None, nobody.delete, dataset)
    refused(401, None, nobody.create_tags)


def test_without_academic_verification_what_writes_is_forbidden_in_words(
    sandbox: Sandbox, dataset: UUID
) -> None:
    tom = Driver(sandbox, TOM)
    body = refused(403, api.SyndbErrorModel, tom.new, uuid4())
    assert "verification" in body.detail
    body = refused(
        403,
        api.Response403UploadDatasetFilesNeurodataIoDatasetIdUploadPatch,
        tom.upload,
        dataset,
        b"x",
    )
    assert isinstance(body.actual_instance, api.SyndbErrorModel)
    refused(403, api.SyndbErrorModel, tom.io.upload_dataset_mesh, str(dataset))
    collection = api.CreateReadDatasetCollectionModel(name="of tom", dataset_ids=[])
    refused(403, api.SyndbErrorModel, tom.dataset.new_dataset_collection, collection)


def test_a_stranger_is_told_whose_dataset_it_is_not(
    sandbox: Sandbox, dataset: UUID, tmp_path: Path
) -> None:
    eve = Driver(sandbox, EVE)
    body = refused(
        403,
        api.Response403UploadDatasetFilesNeurodataIoDatasetIdUploadPatch,
        eve.upload,
        dataset,
        neurons(tmp_path),
    )
    assert isinstance(body.actual_instance, api.DatasetErrorModel)
    assert body.actual_instance.detail.dataset_id == str(dataset)
    body = refused(403, api.DatasetErrorModel, eve.delete, dataset)
    assert body.detail.dataset_id == str(dataset)
    refused(403, api.SyndbErrorModel, eve.io.upload_dataset_swb, str(dataset))
    taken = api.CreateReadDatasetCollectionModel(name="of eve", dataset_ids=[str(dataset)])
    refused(403, api.SyndbErrorModel, eve.dataset.new_dataset_collection, taken)


def test_a_member_of_an_authorized_group_uploads_and_may_not_delete(
    sandbox: Sandbox, ada: Driver, tmp_path: Path
) -> None:
    shared = uuid4()
    ada.new(shared, authorized_group_names=["lab"])
    bob = Driver(sandbox, BOB)
    bob.upload(shared, neurons(tmp_path))
    assert ada.info(shared).number_of_units == 3
    assert str(shared) in bob.dataset.modifiable_datasets().ids
    assert str(shared) not in bob.dataset.incomplete_datasets().uuid_to_label
    refused(403, api.DatasetErrorModel, bob.delete, shared)
    ada.delete(shared)


def test_every_upload_is_added_to_the_number_of_units(
    ada: Driver, dataset: UUID, tmp_path: Path
) -> None:
    package = neurons(tmp_path)
    for units in (3, 6, 9):
        ada.upload(dataset, package)
        assert ada.info(dataset).number_of_units == units


def test_unknown_dataset_is_404(sandbox: Sandbox, ada: Driver, tmp_path: Path) -> None:
    nothing = uuid4()
    body = refused(404, api.DatasetErrorModel, ada.delete, nothing)
    assert body.detail.dataset_id == str(nothing)
    refused(404, None, ada.info, nothing)
    refused(404, None, ada.upload, nothing, neurons(tmp_path))


def test_a_deleted_dataset_is_gone_and_its_id_stays_its_owners(
    sandbox: Sandbox, ada: Driver, dataset: UUID
) -> None:
    ada.delete(dataset)
    refused(404, None, ada.info, dataset)
    refused(404, api.DatasetErrorModel, ada.delete, dataset)
    refused(403, api.SyndbErrorModel, Driver(sandbox, EVE).new, dataset)
    ada.new(dataset)
    assert ada.info(dataset).number_of_units == 0


def test_only_a_superuser_may_override(sandbox: Sandbox, ada: Driver, dataset: UUID) -> None:
    eve, root = Driver(sandbox, EVE), Driver(sandbox, ROOT_USER)
    refused(403, api.DatasetErrorModel, eve.delete, dataset, superuser_override=True)
    refused(403, api.DatasetErrorModel, root.delete, dataset)
    root.delete(dataset, superuser_override=True)
    refused(404, None, ada.info, dataset)


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"animal": 3}, "animal 3"),
        ({"microscopy": "unheard of"}, "microscopy unheard of"),
        ({"publication_dois": ["10.9999/none"]}, "publication 10.9999/none"),
        (
            {"mutations": [api.MutationModelCreateRead(gene="none", expression="knock-in")]},
            "mutation none knock-in",
        ),
        (
            {
                "brain_regions": [
                    api.BrainRegionCreateReadInput(
                        brain_structure="amygdaloid complex", direction="null"
                    )
                ]
            },
            "brain region amygdaloid complex",
        ),
        ({"authorized_group_names": ["no such group"]}, "no such group"),
        ({"dataset_collection_names": ["no such collection"]}, "no such collection"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_a_dataset_refers_to_must_be_there(
    ada: Driver, changed: dict[str, Any], missing: str
) -> None:
    body = refused(404, api.SyndbErrorModel, ada.new, uuid4(), **changed)
    assert missing in body.detail


def test_an_id_in_use_is_a_validation_error(sandbox: Sandbox, ada: Driver, dataset: UUID) -> None:
    for driver in (ada, Driver(sandbox, EVE)):
        body = refused(422, api.HTTPValidationError, driver.new, dataset)
        assert [place.actual_instance for place in body.detail[0].loc] == ["body", "id"]


@pytest.mark.parametrize("broken", [b"", b"no tar at all" * 100, b"\0" * 10240])
def test_what_is_no_tar_is_415(ada: Driver, dataset: UUID, broken: bytes) -> None:
    body = refused(415, api.FileErrorModel, ada.upload, dataset, broken)
    assert body.detail.name == f"{dataset}.tar"


def test_a_name_without_the_datasets_id_is_415(ada: Driver, dataset: UUID, tmp_path: Path) -> None:
    for name in ("package.tar", f"{uuid4()}.tar"):
        body = refused(415, api.FileErrorModel, ada.upload, dataset, neurons(tmp_path), name)
        assert body.detail.name == name
    ada.upload(dataset, neurons(tmp_path), f"mushroom-{dataset}-v2.tar")
    assert ada.info(dataset).number_of_units == 3


def test_an_unknown_table_is_406(ada: Driver, dataset: UUID, tmp_path: Path) -> None:
    body = refused(
        406,
        api.FileErrorModel,
        ada.upload,
        dataset,
        tar(neurons=table(tmp_path, "SELECT uuid() AS cid")),
    )
    assert "neurons.parquet" in body.detail.message


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT uuid() AS cid, 1 AS weight", "weight"),
        ("SELECT 1.0::DOUBLE AS voxel_volume", "cid is missing"),
        ("SELECT uuid() AS cid, uuid() AS dataset_id", "dataset_id"),
        ("SELECT 'a' AS cid", "cid is VARCHAR"),
        ("SELECT NULL::UUID AS cid", "no cid"),
        (f"SELECT '{UUID(int=7)}'::UUID AS cid FROM range(2)", "several rows"),
    ],
)
def test_a_wrong_table_is_500_with_the_reason(
    ada: Driver, dataset: UUID, tmp_path: Path, query: str, reason: str
) -> None:
    body = refused(
        500, api.SyndbErrorModel, ada.upload, dataset, tar(neuron=table(tmp_path, query))
    )
    assert reason in body.detail
    assert ada.info(dataset).number_of_units == 0


def test_what_was_uploaded_comes_back_as_it_was_sent(
    sandbox: Sandbox, ada: Driver, dataset: UUID, tmp_path: Path
) -> None:
    sent = table(
        tmp_path,
        "SELECT uuid() AS cid, (range * 1.5)::DOUBLE AS voxel_volume, 'axonal' AS polarity FROM"
        " range(1000)",
    )
    (tmp_path / "sent.parquet").write_bytes(sent)
    ada.upload(dataset, tar(neuron=sent))
    tables = api.DatasetId2SyndbTables(mapping={str(dataset): ["1", "axon"]})
    link = ada.io.download_dataset_files(tables).download_url
    with tarfile.open(fileobj=io.BytesIO(httpx.get(link, trust_env=False).content)) as archive:
        assert archive.getnames() == [f"{dataset}/neuron.parquet"]
        archive.extractall(tmp_path, filter="data")
    there, here = f"'{tmp_path}/{dataset}/neuron.parquet'", f"'{tmp_path}/sent.parquet'"
    assert duckdb.sql(f"SELECT DISTINCT dataset_id FROM {there}").fetchall() == [(dataset,)]
    assert duckdb.sql(f"DESCRIBE FROM {there}").fetchall()[0][0] == "dataset_id"
    back = f"SELECT * EXCLUDE (dataset_id) FROM {there}"
    for less in (f"({back}) EXCEPT ALL FROM {here}", f"(FROM {here}) EXCEPT ALL {back}"):
        assert duckdb.sql(less).fetchall() == []
    assert duckdb.sql(f"SELECT count(*) FROM {there}").fetchall() == [(1000,)]


def test_search_includes_and_excludes(sandbox: Sandbox, ada: Driver) -> None:
    plain, shared = uuid4(), uuid4()
    ada.new(plain, label="plain")
    ada.new(
        shared,
        label="shared",
        authorized_group_names=["lab"],
        mutations=[MUTATION],
        syndb_tables=[10],
    )
    me = ada.user.current().id

    def found(include: dict[str, Any], exclude: dict[str, Any] | None = None) -> set[str]:
        asked = api.DatasetTagSearchSchema(
            include=api.DatasetFilterSchema(owner_id=[me], **include),
            exclude=api.DatasetFilterSchema(**exclude) if exclude else None,
        )
        return {each.id for each in ada.dataset.dataset_tag_search(asked).datasets}

    assert found({}) >= {str(plain), str(shared)}
    assert found({"syndb_tables": [10]}) == {str(shared)}
    assert found({"mutations": [api.MutationModelRead(gene="shi", expression=None)]}) == {
        str(shared)
    }
    assert found({"authorized_group_names": ["lab", "other"]}) >= {str(shared)}
    assert str(shared) not in found(
        {}, {"mutations": [api.MutationModelRead(gene=None, expression="knock-out")]}
    )
    assert found({"animal_cultural_names": [1]}) == set()
    assert found({"animal_cultural_names": [18], "data_licenses": [7], "syndb_tables": [10]}) == {
        str(shared)
    }
    assert (
        found({"brain_regions": [api.BrainRegionRead(brain_structure="amygdaloid complex")]})
        == set()
    )
    for made in (plain, shared):
        ada.delete(made)


def test_metadata_newer_than_a_moment(ada: Driver, dataset: UUID) -> None:
    later = datetime(2100, 1, 1, tzinfo=UTC)
    assert ada.metadata.universal_metadata(cutoff_creation_datetime=later).all_datasets == {}
    read = ada.metadata.universal_metadata(cutoff_creation_datetime=datetime(2020, 1, 1))
    assert str(dataset) in read.all_datasets


def test_a_collection_over_regions_makes_a_dataset_of_each(sandbox: Sandbox, ada: Driver) -> None:
    other = api.BrainRegionCreateReadInput(brain_structure="amygdaloid complex", direction="dorsal")
    shared = api.SingleDatasetSchemaNoBrainRegion(
        id=str(uuid4()), label="Both", animal=18, microscopy="ssTEM"
    )
    parts = [
        api.MultiBrainRegionDatasetDefinition(brain_regions=[REGION]),
        api.MultiBrainRegionDatasetDefinition(brain_regions=[other], label="The second"),
    ]
    new = api.CreateDatasetCollectionMultiBrainRegion(
        name="both", dataset_brain_regions=parts, dataset_metadata=shared
    )
    create = ada.dataset.new_multi_region_dataset_collection
    refused(404, None, create, new)
    assert shared.id not in ada.dataset.all_datasets().uuid_to_label, "all or none"
    ada.tag.create_brain_region(other)
    made = create(new).brain_regions_to_dataset_id
    assert set(made) == {"hippocampus", "dorsal amygdaloid complex"}
    second = ada.info(UUID(made["dorsal amygdaloid complex"]))
    assert (second.label, second.dataset_collection_names, second.brain_regions[0].name) == (
        "The second",
        ["both"],
        "dorsal amygdaloid complex",
    )
    for each in made.values():
        ada.delete(UUID(each))
    taken = api.CreateReadDatasetCollectionModel(name="both", dataset_ids=[])
    refused(403, api.SyndbErrorModel, Driver(sandbox, EVE).dataset.new_dataset_collection, taken)


def test_a_dataset_registered_into_a_collection_tells_it(ada: Driver) -> None:
    empty = api.CreateReadDatasetCollectionModel(name="waiting", dataset_ids=[])
    ada.dataset.new_dataset_collection(empty)
    made = uuid4()
    ada.new(made, dataset_collection_names=["waiting"])
    assert ada.info(made).dataset_collection_names == ["waiting"]
    nothing = api.CreateReadDatasetCollectionModel(name="waiting", dataset_ids=[str(uuid4())])
    refused(422, api.HTTPValidationError, ada.dataset.new_dataset_collection, nothing)
