package kube

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// unchecked are kinds whose schemas can't be had from the Go module proxy. They are listed so that no other kind passes
// without a check.
var unchecked = []string{
	"postgresql.cnpg.io/v1 Cluster", "postgresql.cnpg.io/v1 Database", "postgresql.cnpg.io/v1 Pooler",
	"postgresql.cnpg.io/v1 ScheduledBackup",
}

// strict decodes into Kubernetes' own types, and refuses unknown fields.
var strict = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()

// Kinds returns the mistakes that an API server would find: unknown fields, wrong types, unknown kinds. It also returns
// the kinds that it could not check.
func Kinds(documents []Document, crds CRDs) (problems, skipped []string) {
	for _, d := range documents {
		kind := text(d.Object, "apiVersion") + " " + d.Kind()
		if slices.Contains(unchecked, kind) {
			if !slices.Contains(skipped, kind) {
				skipped = append(skipped, kind)
			}
			continue
		}
		if custom, ok := crds[kind]; ok {
			for _, problem := range custom.problems(d) {
				problems = append(problems, fmt.Sprintf("%s: %s: %s", d.Source, d, problem))
			}
			continue
		}
		if d.mistake != nil {
			problems = append(problems, fmt.Sprintf("%s: %s: %v", d.Source, d, d.mistake))
		}
	}
	return problems, skipped
}

// podOf returns the pod that an object makes, or nil.
func podOf(object runtime.Object) (*metav1.ObjectMeta, *corev1.PodSpec) {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *batchv1.Job:
		return &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template.ObjectMeta, &o.Spec.JobTemplate.Spec.Template.Spec
	}
	return nil, nil
}

// PodSecurity returns what violates the Pod Security Standard "restricted", and containers with a root file system that
// can be written to.
func PodSecurity(documents []Document) ([]string, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, err
	}
	var problems []string
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, d := range documents {
		meta, spec := podOf(d.typed)
		if spec == nil {
			continue
		}
		for _, result := range evaluator.EvaluatePod(level, meta, spec) {
			if !result.Allowed {
				problems = append(problems,
					fmt.Sprintf("%s: %s: %s: %s", d.Source, d, result.ForbiddenReason, result.ForbiddenDetail))
			}
		}
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil ||
				!*c.SecurityContext.ReadOnlyRootFilesystem {
				problems = append(problems, fmt.Sprintf("%s: %s: %s can write to its root", d.Source, d, c.Name))
			}
		}
	}
	return problems, nil
}

// CRDs are the schemas of custom resources, by apiVersion and kind.
type CRDs map[string]crd

type crd struct {
	structural *schema.Structural
	validator  validation.SchemaValidator
}

// LoadCRDs reads the CustomResourceDefinitions that infra/k8s/crds.sh has put into a folder.
func LoadCRDs(dir string) (CRDs, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("there are no CustomResourceDefinitions in " + dir + ": run infra/k8s/crds.sh")
	}
	out := CRDs{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		documents, err := Parse(file, raw)
		if err != nil {
			return nil, err
		}
		for _, d := range documents {
			var definition apiextensionsv1.CustomResourceDefinition
			if err := yaml.Unmarshal(d.Raw, &definition); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			for _, version := range definition.Spec.Versions {
				key := definition.Spec.Group + "/" + version.Name + " " + definition.Spec.Names.Kind
				if out[key], err = newCRD(version.Schema); err != nil {
					return nil, fmt.Errorf("%s: %w", file, err)
				}
			}
		}
	}
	return out, nil
}

func newCRD(v1 *apiextensionsv1.CustomResourceValidation) (crd, error) {
	var internal apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(
		v1, &internal, nil); err != nil {
		return crd{}, err
	}
	structural, err := schema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return crd{}, err
	}
	validator, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
	return crd{structural: structural, validator: validator}, err
}

// problems returns what a document has that its definition doesn't allow. It may change the document.
func (c crd) problems(d Document) []string {
	var out []string
	for _, e := range validation.ValidateCustomResource(field.NewPath(""), d.Object, c.validator) {
		out = append(out, strings.TrimPrefix(e.Error(), "[]."))
	}
	copied := runtime.DeepCopyJSON(d.Object)
	unknown := pruning.PruneWithOptions(copied, c.structural, true,
		schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, name := range unknown {
		out = append(out, "unknown field "+name)
	}
	return out
}
